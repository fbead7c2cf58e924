// The ledger's filter by kind: a row is seen while its kind is ticked.
document.addEventListener("change", (event) => {
  const box = event.target.closest(".kexue-filter input");
  if (!box) return;
  for (const row of document.querySelectorAll(`.kexue-ledger tr[data-kind="${box.value}"]`)) {
    row.hidden = !box.checked;
  }
});
