/* The page of marking: one question at a time over all students, by keyboard. Answers are fetched with the question, so
   that going on needs no request; a mark is shown at once, kept in this browser until the server has it, and sent in
   order. HTML in answers was cleaned by the server; every other text is put in as text. */
"use strict";

const base = document.body.dataset.base;
const query = new URLSearchParams(location.search);
const marker = query.get("marker") || document.body.dataset.marker;
const of = Number(query.get("of") || 1);
const $ = (id) => document.getElementById(id);
const page = { data: null, queue: [], at: 0, member: 0, together: true, names: false, sample: false, threshold: null,
               undo: [], evidence: new Map(), shownEvidence: false, shownChecks: false, figure: -1, conflicts: [] };

/* ---- the server ---- */

async function ask(what, options = {}, body = null) {
  const parameters = new URLSearchParams({ marker, of, ...options });
  const cookie = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
  const response = await fetch(`${base}/api/${what}${body ? "" : "?" + parameters}`, body && {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-XSRFToken": cookie ? decodeURIComponent(cookie[1]) : "" },
    body: JSON.stringify({ marker, of, ...body }),
  } || {});
  if (response.ok) return response.json();
  let words = response.statusText;
  try { words = (await response.json()).message || words; } catch { /* no JSON: the words of the status do */ }
  if (response.status === 403) words = "you are no longer logged in to this server: log in in another tab";
  throw Object.assign(new Error(words), { status: response.status });
}

/* ---- saving: in order, one at a time, kept here until the server has it ---- */

const KEPT = `course-mark:${base}:${marker}`;
let waiting = [];
let sending = false;
function keep() {
  try { localStorage.setItem(KEPT, JSON.stringify(waiting)); } catch { /* full or forbidden: the page still has it */ }
  const left = waiting.length;
  $("saved").textContent = left ? `${left} not saved yet` : "saved";
  $("saved").classList.toggle("waits", left > 0);
}
function send(kind, saves) {
  waiting.push({ unit: page.data.unit, question: page.data.question, kind, saves });
  keep();
  drain();
}
async function drain() {
  if (sending) return;
  sending = true;
  let pause = 500;
  while (waiting.length) {
    const op = waiting[0];
    try {
      const answer = await ask("mark", {}, op);
      waiting.shift();
      take(op, answer);
      pause = 500;
    } catch (error) {
      if (error.status >= 400 && error.status < 500 && error.status !== 403) {
        waiting.shift();
        notice(`Not saved: ${error.message}`);
      } else {
        $("saved").textContent = `${waiting.length} not saved yet; trying again (${error.message})`;
        await new Promise((done) => setTimeout(done, pause));
        pause = Math.min(2 * pause, 8000);
      }
    }
    keep();
  }
  sending = false;
}
function take(op, answer) {
  const mine = page.data && op.unit === page.data.unit && op.question === page.data.question;
  for (const now of answer.saved) {
    for (const later of waiting) {
      if (later.unit !== op.unit || later.question !== op.question) continue;
      for (const save of later.saves) if (save.token === now.token && now.version) save.version = now.version;
    }
    const known = mine && find(now.token);
    if (!known) continue;
    const behind = waiting.some((later) => later.saves.some((save) => save.token === now.token));
    const { state, ...rest } = now;
    Object.assign(known, rest, behind ? {} : { state });
  }
  const inTheWay = [];
  for (const there of answer.conflicts) {
    const wanted = op.saves.find((save) => save.token === there.token).state;
    const same = JSON.stringify(plain(there.state)) === JSON.stringify(plain(wanted));
    const known = mine && find(there.token);
    if (known) Object.assign(known, there);
    if (!same && known) inTheWay.push({ there, wanted });
  }
  if (inTheWay.length) {
    const { there, wanted } = inTheWay[0];
    page.conflicts = inTheWay.map((each) => ({ token: each.there.token, state: each.wanted }));
    const what = inTheWay.length > 1 ? `These ${inTheWay.length} answers were` : "This answer was";
    const who = there.by ? `by ${isolated(there.by)}` : "in formgrader, or by grading again,";
    notice(`${what} changed ${who} meanwhile: ${points(there.state.score)} now. Your ${points(wanted.score)} are not saved.`,
           [["Take mine", takeMine], ["Keep what is there", closeNotice]]);
    const place = page.queue.findIndex((members) => members.some((each) => each.token === there.token));
    if (place >= 0) page.at = place;
  }
  if (mine) { show(true); }
}
const plain = (state) => ({ score: state.score, comment: state.comment,
                            items: state.items.map(({ text, points: p, half }) => ({ text, p, half: !!half })) });
function takeMine() {
  closeNotice();
  const wanted = new Map(page.conflicts.map(({ token, state }) => [token, state]));
  const answers = page.data.answers.filter((answer) => wanted.has(answer.token));
  const before = answers.map((answer) => ({ token: answer.token, state: answer.state }));
  for (const answer of answers) decide([answer], () => wanted.get(answer.token), "mark", false);
  page.undo.push(before);
}

/* ---- answers ---- */

const find = (token) => page.data.answers.find((answer) => answer.token === token);
const group = () => page.queue[page.at] || [];
const current = () => group()[page.member] || group()[0];
const leader = () => group()[0];
const settled = (answer) => answer.settled;
const points = (score) => (score === null || score === undefined ? "no mark" : `${+score.toFixed(2)} point${score === 1 ? "" : "s"}`);

function line() {
  const groups = new Map();
  for (const answer of page.data.answers) {
    if (!(answer.own || answer.second)) continue;
    const key = answer.second ? `second ${answer.token}` : page.together ? answer.group : answer.token;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(answer);
  }
  const all = [...groups.values()];
  page.queue = [...all.filter((members) => !members[0].short), ...all.filter((members) => members[0].short)];
}
const undecided = (members) => members.some((answer) => !settled(answer) && !answer.blank);
function nextUndecided(from) {
  const count = page.queue.length;
  for (let step = 0; step < count; step++) {
    const place = (from + step) % count;
    if (undecided(page.queue[place])) return place;
  }
  return -1;
}
async function load(unit, question, token = null) {
  const options = { unit, question, names: page.names ? 1 : 0, sample: page.sample ? 1 : 0 };
  if (page.threshold !== null) options.threshold = page.threshold;
  const again = page.data && page.data.unit === unit && page.data.question === question;
  try {
    page.data = await ask("question", options);
  } catch (error) {
    $("whose").textContent = "Nothing to mark";
    notice(error.message);
    return;
  }
  page.threshold = page.data.threshold;
  page.evidence.clear();
  if (!again) page.undo = [];
  $("asked-text").innerHTML = page.data.html || "<em>The question stands in no cell of its own.</em>";
  $("note").innerHTML = page.data.scheme.note_html;
  line();
  const place = token ? page.queue.findIndex((members) => members.some((each) => each.token === token)) : -1;
  page.at = place >= 0 ? place : Math.max(0, nextUndecided(0));
  page.member = 0;
  history.replaceState(null, "", `?${new URLSearchParams({ ...Object.fromEntries(query), unit, question, marker, of })}`);
  showItems();
  showBank();
  show();
  if (page.data.unreadable) notice(`Graded notebooks that cannot be read: ${page.data.unreadable}. Grade the unit again.`);
  if (page.data.stale) {
    notice(`${page.data.stale} marks were made with items that the mark scheme no longer has.`,
           [["See what would change", recompute], ["Leave them", closeNotice]]);
  }
  const mine = waiting.filter((op) => op.unit === unit && op.question === question);
  for (const op of mine) for (const save of op.saves) { const a = find(save.token); if (a) a.state = save.state; }
  if (waiting.length) drain();
}

/* ---- marks ---- */

const scoreOf = (items) => {
  const sum = items.reduce((total, item) => total + (item.half ? item.points / 2 : item.points), 0);
  return +Math.min(Math.max(sum, 0), page.data.points).toFixed(6);
};
function whom() {
  if (group().length < 2) return [current()];
  const first = JSON.stringify(plain(leader().state));
  return group().filter((answer) => !settled(answer) || JSON.stringify(plain(answer.state)) === first);
}
function decide(answers, change, kind = "mark", remember = true) {
  const before = answers.map((answer) => ({ token: answer.token, state: answer.state }));
  const saves = answers.map((answer) => {
    const state = { composed: "", ...change(answer.state) };
    const save = { token: answer.token, version: answer.version, digest: answer.digest, state };
    answer.state = state;
    answer.settled = state.score !== null || (answer.auto !== null && answer.auto !== undefined);
    return save;
  });
  if (remember) page.undo.push(before);
  for (const second of [true, false]) {
    const part = saves.filter((save) => !!find(save.token).second === second);
    if (part.length) send(second ? "second" : kind, part);
  }
  show(true);
}
function toggle(number, half) {
  const item = page.data.scheme.items[number - 1];
  if (!item) {
    if (!page.data.scheme.items.length && number <= page.data.points) give(number);
    return;
  }
  const given = leader().state.items;
  const has = given.find((each) => each.text === item.text && each.points === item.points);
  const others = given.filter((each) => each !== has);
  const items = has && !!has.half === half ? others : [...others, { text: item.text, points: item.points, half }];
  const order = page.data.scheme.items.map((each) => each.text);
  items.sort((a, b) => order.indexOf(a.text) - order.indexOf(b.text));
  decide(whom(), (state) => ({ ...state, items, score: scoreOf(items) }));
}
function give(score, items = null) {
  decide(whom(), (state) => ({ ...state, items: items || state.items, score }));
}
function full() {
  const items = page.data.scheme.items.filter((item) => item.points > 0).map(({ text, points: p }) => ({ text, points: p, half: false }));
  give(page.data.points, items);
}
function undo() {
  const before = (page.undo.pop() || []).filter(({ token }) => find(token)); // a sample does not hold all
  if (!before.length) { say("nothing to undo in this window"); return; }
  const place = page.queue.findIndex((members) => members.some((each) => each.token === before[0].token));
  if (place >= 0) { page.at = place; page.member = 0; }
  for (const { token, state } of before) decide([find(token)], () => state, "undo", false);
  say("undone");
}

/* ---- what is shown ---- */

function say(words) { $("progress").dataset.said = words; $("saved").textContent = words; }
function notice(words, buttons = [["Close", closeNotice]]) {
  const box = $("notice");
  box.replaceChildren(document.createTextNode(words + " "));
  for (const [label, act] of buttons) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", act);
    box.append(button, " ");
  }
  box.hidden = false;
}
function closeNotice() { $("notice").hidden = true; }
function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}
// A name in a sentence: one from right to left turns nothing around it.
const isolated = (name) => `\u2068${name}\u2069`;
const worth = (number) => `${number > 0 ? "+" : ""}${+number.toFixed(2)}`;
function showItems() {
  $("items").replaceChildren(...page.data.scheme.items.map((item, index) => {
    const entry = element("li");
    const button = element("button");
    button.type = "button";
    button.dataset.item = index + 1;
    button.setAttribute("aria-pressed", "false");
    const key = element("kbd", index < 9 ? String(index + 1) : "");
    const amount = element("span", worth(item.points), "worth");
    const text = element("span", "", "text");
    text.innerHTML = item.html;
    button.append(key, amount, text);
    entry.append(button);
    return entry;
  }));
  if (!page.data.scheme.items.length) {
    const words = element("li", `This mark scheme has no items: keys 0 to ${Math.min(9, page.data.points)} give points. ` +
                                "Press i to write items.");
    $("items").append(words);
  }
}
function showBank() {
  $("bank-list").replaceChildren(...page.data.bank.slice(0, 30).map((entry, index) => {
    const item = element("li");
    const button = element("button", entry.text);
    button.type = "button";
    button.dataset.bank = index;
    button.append(element("small", ` ${entry.used} ×, with ${+entry.mean.toFixed(2)} points`));
    item.append(button);
    return item;
  }));
  if (!page.data.bank.length) $("bank-list").append(element("li", "none yet: comments that you write are kept here"));
}
function show(same = false) {
  const answer = current();
  const data = page.data;
  const mine = data.answers.filter((each) => each.own || each.second);
  const done = mine.filter((each) => settled(each)).length;
  $("progress").textContent = `${done} of ${mine.length} settled` + (of > 1 ? ` · share ${data.share + 1} of ${of} (${isolated(marker)})` : "") +
                              (page.sample ? " · sample, marked once more" : "");
  $("bar").value = mine.length ? done / mine.length : 0;
  if (!answer) {
    $("whose").textContent = "No answers to this question yet";
    $("answer").replaceChildren();
    $("members").hidden = true;
    return;
  }
  const members = group();
  const whose = page.names && answer.name ? isolated(answer.name) : `Answer ${page.at + 1} of ${page.queue.length}`;
  $("whose").textContent = whose + (members.length > 1 ? ` · ${members.length} alike` : "") +
    ` · ${answer.words} words` + (answer.second ? " · second mark, blind" : "");
  if (!same || $("answer").dataset.token !== answer.token || $("answer").dataset.digest !== answer.digest) {
    $("answer").innerHTML = answer.html;
    $("answer").dataset.token = answer.token;
    $("answer").dataset.digest = answer.digest;
    $("answer").scrollTop = 0;
    scrollTo(0, 0);
    page.figure = -1;
    $("figure").hidden = true;
  }
  $("changed").hidden = !answer.changed || !answer.waits;
  if (answer.changed && answer.waits) {
    $("changed").innerHTML = `<p>Handed in again with another text after it was marked; what changed:</p>${answer.changed}`;
  }
  showMembers(members);
  showMark(answer);
  if (page.shownEvidence || page.shownChecks) showEvidence();
  prefetch();
}
function showMembers(members) {
  $("members").hidden = members.length < 2;
  if (members.length < 2) { $("members").replaceChildren(); return; }
  $("members").replaceChildren(...members.slice(1).map((answer, index) => {
    const entry = element("li", "", page.member === index + 1 ? "chosen" : "");
    entry.dataset.member = index + 1;
    const text = element("div", "", "students");
    text.dir = "auto";
    text.innerHTML = answer.against || "<em>the same text</em>";
    const mark = element("small", settled(answer) ? points(answer.state.score ?? answer.auto) : "no mark yet");
    if (page.names && answer.name) mark.prepend(`${isolated(answer.name)}: `);
    entry.append(mark, text);
    return entry;
  }));
}
function showMark(answer) {
  const state = answer.state;
  $("score").textContent = state.score === null
    ? (answer.auto !== null && answer.auto !== undefined ? `${points(answer.auto)}, by itself` : `not marked yet, at most ${page.data.points}`)
    : `${+state.score.toFixed(2)} of ${points(page.data.points)}` + (answer.by && answer.by !== marker ? ` · by ${isolated(answer.by)}` : "");
  for (const button of $("items").querySelectorAll("button")) {
    const item = page.data.scheme.items[button.dataset.item - 1];
    const given = state.items.find((each) => each.text === item.text && each.points === item.points);
    button.setAttribute("aria-pressed", given ? (given.half ? "mixed" : "true") : "false");
    button.querySelector(".worth").textContent = worth(given && given.half ? item.points / 2 : item.points);
  }
  if (document.activeElement !== $("comment")) $("comment").value = state.comment;
  if (document.activeElement !== $("typed")) $("typed").value = state.score === null ? "" : +state.score.toFixed(2);
}

/* ---- evidence ---- */

function prefetch() {
  if (!page.shownEvidence && !page.shownChecks) return;
  for (const step of [0, 1]) {
    const members = page.queue[page.at + step];
    if (members) evidenceOf(members[0]).catch(() => {});
  }
}
function evidenceOf(answer) {
  if (!page.evidence.has(answer.token)) {
    const { unit, question } = page.data;
    page.evidence.set(answer.token, ask("evidence", { unit, question, token: answer.token }));
  }
  return page.evidence.get(answer.token);
}
async function showEvidence() {
  const answer = current();
  $("evidence").hidden = !page.shownEvidence;
  $("checks").hidden = !page.shownChecks;
  let found;
  try { found = await evidenceOf(answer); } catch (error) {
    page.evidence.delete(answer.token);
    $("evidence").replaceChildren(element("p", error.message));
    return;
  }
  if (answer !== current()) return;
  page.places = [];
  const list = element("ul");
  for (const each of found.named) {
    const item = element("li", "", each.status);
    item.append(element("strong", each.text), " ");
    if (each.status === "given") item.append("given in the question");
    else if (!each.places.length) item.append("nowhere in this notebook");
    each.places.slice(0, 2).forEach((place, index) => {
      const button = element("button", `${index ? "also: " : ""}${place.words}`);
      button.type = "button";
      button.dataset.place = page.places.push(place) - 1;
      item.append(button, " ");
    });
    list.append(item);
  }
  const none = !found.named.some((each) => each.places.length || each.status === "nowhere");
  $("evidence").replaceChildren(element("h3", "Evidence"), none ? element("p", "No number of this notebook is named.") : list);
  if (found.most) $("evidence").append(element("p", `Only the first ${found.most} numbers of this answer are looked for.`));
  const checks = element("ul");
  for (const each of found.checks) checks.append(element("li", `${each.exercise}: ${each.points} ${each.words}`));
  const guesses = element("ul");
  for (const each of found.guesses) {
    guesses.append(element("li", `${each.question} Guess: ${each.guess}.` + (each.truth ? ` Came out: ${each.truth}.` : "")));
  }
  const or = (list) => (list.children.length ? list : element("p", "none in this notebook"));
  $("checks").replaceChildren(element("h3", "Checks"), or(checks), element("h3", "Guesses"), or(guesses));
}
async function showFigure(number) {
  if (!page.shownEvidence) { page.shownEvidence = true; await showEvidence(); }
  if (!page.places || !page.places.length) { say("no place to show"); return; }
  page.figure = number % page.places.length;
  const place = page.places[page.figure];
  const answer = current();
  const { unit, question } = page.data;
  try {
    const shown = await ask("output", { unit, question, token: answer.token, cell: place.cell, output: place.output });
    if (answer !== current()) return;
    $("figure").innerHTML = shown.html;
    $("figure").hidden = false;
    $("figure").scrollIntoView({ block: "nearest" });
  } catch (error) { notice(error.message); }
}

/* ---- dialogs ---- */

function dialog(title, ...content) {
  $("dialog-title").textContent = title;
  $("dialog-body").replaceChildren(...content);
  if (!$("dialog").open) $("dialog").showModal();
}
function table(caption, head, rows) {
  const made = element("table");
  made.append(element("caption", caption));
  const top = made.createTHead().insertRow();
  for (const name of head) { const cell = element("th", name); cell.scope = "col"; top.append(cell); }
  const body = made.createTBody();
  for (const row of rows) { const tr = body.insertRow(); for (const cell of row) tr.insertCell().append(cell); }
  return made;
}
const KEYS = [
  ["1 … 9", "give or take back an item; with Shift half of it"], ["0", "no points"], ["f", "full points, all items"],
  ["Enter", "next answer without a mark"], ["n →", "next answer"], ["p ←", "previous answer"], ["u", "undo"],
  ["c", "comment (Esc: back)"], ["b", "comments used before; then 1 … 9"], ["s", "type points"],
  ["e", "evidence: numbers and where they stand"], ["v", "show the figure or table, then the next one"],
  ["k", "what the checks said, what was guessed"], ["g", "one decision for alike answers: on, off"],
  ["↑ ↓", "choose one of the alike answers"], ["t", "take the chosen answer out of its group"],
  ["+ −", "likeness from which answers are a group"], ["w", "blank and one-word answers on one screen"],
  ["i", "edit the items"], ["d", "agreement, drift, points"], ["y", "mark a sample once more"],
  ["h", "names: show, hide"], ["o", "the whole of a long answer"], ["a", "the question"], ["q", "choose a question"], ["?", "these keys"],
];
function help() {
  dialog("Keys", table("Everything is saved when you do it.", ["key", "what it does"],
         KEYS.map(([keys, words]) => [element("kbd", keys), words])));
}
function shortOnes() {
  const short = page.data.answers.filter((answer) => answer.own && answer.short);
  const open = short.filter((answer) => !settled(answer));
  const blank = short.filter((answer) => answer.blank).length;
  const list = element("ul", "", "short");
  for (const answer of open) {
    const label = element("label");
    const box = element("input");
    box.type = "checkbox";
    box.checked = true;
    box.value = answer.token;
    const text = element("span", "", "students");
    text.innerHTML = answer.html;
    label.append(box, " ", text);
    const item = element("li");
    item.append(label);
    list.append(item);
  }
  const button = element("button", `0 points for those that are ticked`);
  button.type = "button";
  button.disabled = !open.length;
  button.addEventListener("click", () => {
    const chosen = [...list.querySelectorAll("input:checked")].map((box) => find(box.value));
    $("dialog").close();
    if (chosen.length) decide(chosen, (state) => ({ ...state, items: [], score: 0 }));
    goTo(Math.max(0, nextUndecided(page.at)));
  });
  dialog("Blank and one-word answers",
         element("p", `${blank} blank answers have 0 points by themselves; ${open.length} of at most three words wait.`), list, button);
  button.focus();
}
async function statistics() {
  const { unit, question } = page.data;
  const found = await ask("statistics", { unit, question });
  const parts = [element("p", `Two markers: ${found.agreement.words}.`), element("p", `The same marker again: ${found.oneself.words}.`)];
  if (found.pairs.length) {
    parts.push(table("Marks that differ", ["answer", "first", "by", "second", "by"], found.pairs.map((pair) => {
      const button = element("button", pair.token.slice(0, 6));
      button.type = "button";
      button.addEventListener("click", () => {
        $("dialog").close();
        page.sample = false;
        load(unit, question, pair.token);
      });
      return [button, String(pair.first), pair.by, String(pair.second), pair.second_by];
    })));
  }
  for (const each of found.drift) {
    parts.push(table(`${isolated(each.marker)}: ${each.words}`, ["marks", "mean", ""], each.blocks.map((block, index) => {
      const bar = element("span", "", "meter");
      bar.style.width = `${12 * block.mean / Math.max(found.points, 1e-9)}em`;
      return [`${20 * index + 1} to ${20 * index + block.marks}`, block.mean.toFixed(2), bar];
    })));
  }
  parts.push(table("Points", ["points", "answers"], found.scores.map((each) => [String(each.score), String(each.answers)])));
  dialog("Agreement and drift", ...parts);
}
function editItems() {
  const list = element("ol", "", "edit");
  const add = (item, was) => {
    const row = element("li");
    const worth = element("input");
    worth.type = "text";
    worth.value = String(+item.points.toFixed(2));
    worth.setAttribute("aria-label", "points");
    const text = element("textarea", "");
    text.value = item.text;
    text.rows = 3;
    text.setAttribute("aria-label", "item");
    if (was !== null) row.dataset.was = was;
    row.append(worth, text);
    list.append(row);
    return text;
  };
  page.data.scheme.items.forEach((item, index) => add(item, index));
  const more = element("button", "Another item");
  more.type = "button";
  more.addEventListener("click", () => add({ points: 1, text: "" }, null).focus());
  const save = element("button", "Save to the notebook");
  save.type = "button";
  const said = element("p");
  said.setAttribute("role", "alert");
  const store = async (recompute) => {
    const items = [...list.children].map((row) => ({
      points: Number(row.querySelector("input").value.replace(",", ".")),
      text: row.querySelector("textarea").value,
      was: row.dataset.was === undefined ? null : Number(row.dataset.was),
    })).filter((item) => item.text.trim());
    const { unit, question, scheme } = page.data;
    try {
      const answer = await ask("scheme", {}, { unit, question, version: scheme.version, items, recompute });
      if (answer.done) { $("dialog").close(); const now = current(); return load(unit, question, now && now.token); }
      if (!answer.affected) return store(true);
      const moved = answer.changes.filter((change) => change.from !== change.to).length;
      said.replaceChildren(`${answer.affected} marks were made with items that you change; ${moved} of them get other points. `);
      for (const [label, yes] of [["Change these marks, too", true], ["Leave marks as they are", false]]) {
        const button = element("button", label);
        button.type = "button";
        button.addEventListener("click", () => store(yes));
        said.append(button, " ");
      }
      said.querySelector("button").focus();
    } catch (error) { said.textContent = error.message; }
  };
  save.addEventListener("click", () => store(null));
  dialog("Items of this question", element("p", "They are kept in the notebook's mark scheme. An item without text is taken out."),
         list, more, " ", save, said);
}
async function recompute() {
  closeNotice();
  const { unit, question } = page.data;
  const found = await ask("recompute", {}, { unit, question });
  const button = element("button", "Change these marks");
  button.type = "button";
  button.addEventListener("click", async () => {
    await ask("recompute", {}, { unit, question, really: true });
    $("dialog").close();
    load(unit, question);
  });
  dialog("Items that were changed", table("What an item becomes; nothing: it is taken out of the marks.", ["was", "is"],
         found.pairs.map((pair) => [pair.old, pair.new])), element("p", `${found.affected} marks change.`), button);
}
async function lostMarks(unit, known) {
  const lost = await ask("lost", { unit });
  if (!lost.length || !known.length) return;
  notice(`${lost.map((each) => `${each.question} (${each.marks} marks)`).join(", ")}: no longer a question of ${unit}. Was it renamed?`,
         [...known.map((question) => [`It is ${question} now`, async () => {
           const done = await ask("move", {}, { unit, question, old: lost[0].question });
           await load(unit, question);
           notice(`${done.moved} marks moved; ${done.left} answers have changed or have a mark already.`);
         }]), ["Leave it", closeNotice]]);
}

/* ---- keys ---- */

function goTo(place) {
  if (place < 0 || place >= page.queue.length) { say(place < 0 ? "first answer" : "last answer"); return; }
  page.at = place;
  page.member = 0;
  show();
}
let typing = 0;
function commentNow() {
  clearTimeout(typing);
  typing = 0;
  const text = $("comment").value;
  if (leader() && text !== leader().state.comment) decide(whom(), (state) => ({ ...state, comment: text }));
}
$("comment").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(commentNow, 500); });
$("comment").addEventListener("blur", commentNow);
$("typed").addEventListener("change", () => {
  const score = Number($("typed").value.replace(",", "."));
  if ($("typed").value.trim() === "") { decide(whom(), (state) => ({ ...state, items: [], score: null })); return; }
  if (!(score >= 0 && score <= page.data.points)) { notice(`${$("typed").value} points: expected 0 to ${page.data.points}.`); return; }
  closeNotice();
  give(score);
});
function takeFromBank(index) {
  const entry = page.data.bank[index];
  if (!entry) return;
  const was = leader().state.comment.trim();
  $("comment").value = was ? `${was}\n\n${entry.text}` : entry.text;
  commentNow();
  $("bank").open = false;
  page.banking = false;
}
function member(step) {
  page.member = Math.min(Math.max(page.member + step, 0), group().length - 1);
  showMembers(group());
  const chosen = $("members").querySelector(".chosen");
  if (chosen) chosen.scrollIntoView({ block: "nearest" });
}
async function takeOut() {
  if (group().length < 2) { say("this answer is in no group"); return; }
  const { unit, question } = page.data;
  const out = current();
  await ask("split", {}, { unit, question, token: out.token });
  out.group = 1 + Math.max(...page.data.answers.map((answer) => answer.group));
  delete out.against;
  const here = leader() === out ? group()[1].token : leader().token;
  line();
  goTo(page.queue.findIndex((members) => members.some((each) => each.token === here)));
}
async function regroup(step) {
  page.threshold = Math.min(0.95, Math.max(0.35, +(page.threshold + step).toFixed(2)));
  await load(page.data.unit, page.data.question, current() && current().token);
  say(`alike from ${page.threshold}: ${page.queue.length} decisions`);
}
async function wholeAnswer() {
  const { unit, question } = page.data;
  const answer = current();
  const whole = await ask("answer", { unit, question, token: answer.token });
  if (answer === current()) $("answer").innerHTML = whole.html;
}
const reload = () => load(page.data.unit, page.data.question, current() && current().token);
const DO = {
  n: () => goTo(page.at + 1), ArrowRight: () => goTo(page.at + 1), p: () => goTo(page.at - 1), ArrowLeft: () => goTo(page.at - 1),
  Enter: () => { const place = nextUndecided(page.at + (undecided(group()) ? 1 : 0)); if (place < 0) { say("all answers are marked"); goTo(page.at + 1); } else goTo(place); },
  u: undo, f: full, 0: () => give(0, []), c: () => $("comment").focus(), s: () => { $("typed").focus(); $("typed").select(); },
  b: () => { $("bank").open = !$("bank").open; page.banking = $("bank").open; },
  e: () => { page.shownEvidence = !page.shownEvidence; showEvidence(); }, v: () => showFigure(page.figure + 1),
  k: () => { page.shownChecks = !page.shownChecks; showEvidence(); },
  g: () => { const here = current().token; page.together = !page.together; line(); goTo(page.queue.findIndex((m) => m.some((x) => x.token === here))); },
  t: takeOut, ArrowUp: () => member(-1), ArrowDown: () => member(1), "+": () => regroup(0.05), "-": () => regroup(-0.05), "−": () => regroup(-0.05),
  w: shortOnes, i: editItems, d: statistics, "?": help, help,
  y: () => { page.sample = !page.sample; load(page.data.unit, page.data.question); },
  h: () => { page.names = !page.names; reload(); },
  o: wholeAnswer,
  a: () => { $("asked").open = !$("asked").open; }, q: () => $("question").focus(),
  close: () => $("dialog").close(),
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inText = event.target.matches("textarea, input[type=text], select");
  if (event.key === "Escape") {
    if (inText) event.target.blur();
    page.banking = false;
    $("bank").open = false;
    return;
  }
  if (inText || $("dialog").open || !page.data) {
    if (event.target.id === "typed" && event.key === "Enter") event.target.blur();
    return;
  }
  const digit = /^Digit([1-9])$/.exec(event.code) || /^Numpad([1-9])$/.exec(event.code);
  if (event.key === "Enter" && event.target.closest("button, summary, a")) return;
  if (digit && (event.shiftKey || event.key === digit[1])) {
    event.preventDefault();
    if (page.banking) takeFromBank(digit[1] - 1); else if (current()) toggle(Number(digit[1]), event.shiftKey);
    return;
  }
  const act = DO[event.key];
  if (!act || event.repeat && event.key.length === 1 && "u0fgty".includes(event.key)) return;
  if (["ArrowUp", "ArrowDown"].includes(event.key) && group().length < 2) return;
  event.preventDefault();
  Promise.resolve(act()).catch((error) => notice(error.message));
});
addEventListener("click", (event) => {
  const button = event.target.closest("button, li[data-member]");
  if (!button) return;
  if (button.dataset.do) DO[button.dataset.do]();
  else if (button.dataset.item) toggle(Number(button.dataset.item), event.shiftKey);
  else if (button.dataset.bank) takeFromBank(Number(button.dataset.bank));
  else if (button.dataset.place) showFigure(Number(button.dataset.place));
  else if (button.dataset.member) { page.member = Number(button.dataset.member); showMembers(group()); }
});
addEventListener("beforeunload", (event) => { if (typing) commentNow(); if (waiting.length) event.preventDefault(); });
const BUTTONS = [["Enter", "Next"], ["p", "Previous"], ["u", "Undo"], ["e", "Evidence"], ["v", "Figure"], ["k", "Checks"],
                 ["t", "Take out"], ["w", "Short answers"], ["i", "Items"], ["d", "Agreement"], ["h", "Names"]];
for (const [key, words] of BUTTONS) {
  const button = element("button", words + " ");
  button.type = "button";
  button.dataset.do = key;
  button.append(element("kbd", key));
  $("buttons").append(button, " ");
}
$("question").addEventListener("change", () => {
  const [unit, question] = JSON.parse($("question").value);
  page.threshold = null;
  page.sample = false;
  $("question").blur();
  load(unit, question);
});

async function start() {
  try { waiting = JSON.parse(localStorage.getItem(KEPT) || "[]"); } catch { waiting = []; }
  keep();
  let units;
  try { units = await ask("units"); } catch (error) { $("whose").textContent = "Nothing to mark"; notice(error.message); return; }
  if (!units.length) {
    $("whose").textContent = "Nothing to mark yet";
    $("answer").textContent = "The gradebook has no written question. Grade a unit first: course grade UNIT.";
    return;
  }
  for (const { unit, questions } of units) {
    const box = element("optgroup");
    box.label = unit;
    for (const each of questions) {
      const option = element("option", `${each.question} (${each.marked} of ${each.answers} settled)`);
      option.value = JSON.stringify([unit, each.question]);
      box.append(option);
    }
    $("question").append(box);
  }
  const wanted = units.find((each) => each.unit === query.get("unit")) || units.find((each) => each.questions.some((q) => q.marked < q.answers)) || units[0];
  const named = query.get("question");
  if (named && !wanted.questions.some((each) => each.question === named)) {
    notice(`${wanted.unit} has no written question ${named}. There are: ${wanted.questions.map((each) => each.question).join(", ")}.`);
  }
  const question = wanted.questions.find((each) => each.question === named) || wanted.questions.find((each) => each.marked < each.answers) || wanted.questions[0];
  $("question").value = JSON.stringify([wanted.unit, question.question]);
  await load(wanted.unit, question.question);
  lostMarks(wanted.unit, wanted.questions.map((each) => each.question)).catch(() => {});
}
start();
