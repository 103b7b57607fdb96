// On a telephone the cells of a "stacked" table stand below each other, without the head: each
// cell gets the name of its column.
document.addEventListener("DOMContentLoaded", () => {
    for (const table of document.querySelectorAll("table.stacked")) {
        const names = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
        for (const row of table.querySelectorAll("tbody tr")) {
            [...row.cells].forEach((cell, at) => {
                if (names[at]) cell.dataset.column = names[at];
            });
        }
    }
});
