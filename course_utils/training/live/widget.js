// The live view of a training: a bar, a line of numbers, a picture, and a button that interrupts the kernel.

// A function that asks the Jupyter server for an interrupt, as the toolbar's stop button does; null where the page is
// not a Jupyter server's own (VS Code, Colab).
function interrupter(kernel) {
  const config = document.getElementById("jupyter-config-data");
  if (!config || !kernel) return null;
  const { baseUrl, token } = JSON.parse(config.textContent);
  const xsrf = /(?:^|;\s*)_xsrf=([^;]*)/.exec(document.cookie);
  const headers = {};
  if (token) headers.Authorization = `token ${token}`;
  if (xsrf) headers["X-XSRFToken"] = xsrf[1];
  return () => fetch(`${baseUrl}api/kernels/${kernel}/interrupt`, { method: "POST", headers });
}

function render({ model, el }) {
  el.innerHTML = `
    <div style="display:flex;gap:.8em;align-items:center;flex-wrap:wrap;margin:.3em 0">
      <button class="jupyter-button widget-button live-interrupt" title="End the training here and keep the model"
              style="width:auto" hidden>Interrupt</button>
      <progress aria-label="Training" max="1" value="0"></progress><span></span>
    </div>
    <img style="max-width:100%;width:800px" hidden>`;
  const [button, bar, line, image] = ["button", "progress", "span", "img"].map((name) => el.querySelector(name));

  const interrupt = interrupter(model.get("kernel"));
  function showControls(shown) { // Jupyter's style of a button outweighs its being hidden
    for (const [control, yes] of [[button, shown && interrupt !== null], [bar, shown]]) {
      control.hidden = !yes;
      control.style.display = yes ? "" : "none";
    }
  }
  button.addEventListener("click", async () => {
    button.disabled = true;
    button.textContent = "Interrupting …";
    const answer = await interrupt().catch(() => null);
    if (!answer?.ok) button.textContent = "Use the stop button of the toolbar";
  });

  function showNumbers() {
    const { line: text = "", made = 0, alt = "" } = model.get("about");
    [line.textContent, bar.value, image.alt] = [text, made, alt];
    showControls(true);
  }
  function showPicture() {
    const picture = model.get("picture");
    URL.revokeObjectURL(image.src);
    image.hidden = picture.byteLength === 0;
    if (!image.hidden) image.src = URL.createObjectURL(new Blob([picture], { type: "image/png" }));
  }
  // A kernel that restarts, or dies, says nothing any more.
  function showEnd() { // called on the view
    if (this?.model?.comm_live !== false) return;
    showControls(false);
    line.textContent = "The kernel was restarted while this ran. Run the cells above, then this one: whole epochs are kept under a name.";
  }
  model.on("comm_live_update", showEnd);
  model.on("change:about", showNumbers);
  model.on("change:picture", showPicture);
  showNumbers();
  showPicture();
  return () => {
    model.off("comm_live_update", showEnd);
    model.off("change:about", showNumbers);
    model.off("change:picture", showPicture);
    URL.revokeObjectURL(image.src);
  };
}

export default { render };
