// Sorts the table of a scoreboard by the column whose heading is pressed, and opens what is folded for the printer.
for (const board of document.querySelectorAll(".scoreboard:not([data-alive])")) {
  board.dataset.alive = "";
  const buttons = [...board.querySelectorAll(".numbers thead button")];
  buttons.forEach((button, column) => {
    button.disabled = false;
    button.addEventListener("click", () => {
      const heading = button.closest("th");
      const first = button.dataset.first;
      const other = first === "ascending" ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? other : first;
      buttons.forEach((each) => each.closest("th").setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => row.cells[column].dataset.value ?? "";
      const compare = (a, b) => {
        if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
        const apart = column === 0 ? value(a).localeCompare(value(b)) : value(a) - value(b);
        return sign * apart;
      };
      for (const body of board.querySelectorAll(".numbers tbody.sorted"))
        body.append(...[...body.rows].sort(compare));
    });
  });
  const folded = board.querySelectorAll("details");
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...folded].filter((each) => !each.open);
    opened.forEach((each) => (each.open = true));
  });
  addEventListener("afterprint", () => opened.forEach((each) => (each.open = false)));
}
