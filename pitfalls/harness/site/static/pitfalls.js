// The index page: filters that live in the URL, and a search into which an error message can be pasted.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("filter");
  if (!form) return;
  const fields = ["q", "area", "device", "changed", "priority", "manner"];
  const EMPTY = new Set("a an and are as at be by do does for how if in is it my not of on or s t that the this to was why with you your".split(" "));
  const body = document.querySelector("table.catalogue tbody");
  const rows = [...body.rows].map((row) => ({ row, slug: row.cells[0].textContent.trim() }));

  const said = (text) => {
    const lines = text.trim().split("\n");
    const at = lines.findLastIndex((line) => /\b[A-Za-z_][\w.]*(Error|Exception|Warning|Interrupt): /.test(line));
    return lines.slice(Math.max(at, 0)).join(" ");
  };
  const words = (text) =>
    text.toLowerCase()
      .replace(/\b(cuda|cpu|mps|xpu)(:\d+)?\b/g, " device ")
      .replace(/\b(torch\.)?(cuda\.)?(float|double|half|bfloat|long|int|uint|bool|byte)\d*(tensor)?\b/g, "dtype")
      .replace(/0x[0-9a-f]+|\d+(\.\d+)?/g, "#")
      .match(/[a-z_]+|#/g) || [];
  const stem = (word) => word.replace(/(?<=\w{4})(ing|ed|es|s|e)$/, "");

  const texts = [];
  for (const [slug, about] of Object.entries(PITFALLS)) {
    for (const message of new Set([...about.cores, ...about.messages])) {
      texts.push({ slug, core: about.cores.includes(message), list: words(message), set: new Set(words(message)) });
    }
  }
  const rarity = (sets) => {
    const seen = new Map();
    for (const set of sets) for (const word of set) seen.set(word, (seen.get(word) || 0) + 1);
    return (word) => (EMPTY.has(word) ? 0 : Math.log(1 + sets.length / (seen.get(word) || 1)));
  };
  const weight = rarity(texts.map((text) => text.set));
  const described = Object.entries(PITFALLS).map(([slug, about]) => [slug, new Set(words(about.words).map(stem))]);
  const tellingWord = rarity(described.map(([, set]) => set));
  const known = new Set(described.flatMap(([, set]) => [...set]));
  const sum = (iterable, of) => [...iterable].reduce((total, one) => total + of(one), 0);

  const ranked = (query) => {
    const list = words(said(query));
    const asked = new Set(list);
    const joined = ` ${list.join(" ")} `;
    const best = new Map();
    for (const text of texts) {
      const shared = sum([...asked].filter((word) => text.set.has(word)), weight);
      let likeness = shared < 6 ? 0 : (2 * shared) / (sum(asked, weight) + sum(text.set, weight));
      if (text.core && joined.includes(` ${text.list.join(" ")} `)) likeness = Math.max(likeness, sum(text.set, weight) > 10 ? 0.95 : 0.6);
      if (likeness >= 0.4 && likeness > (best.get(text.slug) || 0)) best.set(text.slug, likeness);
    }
    if (!best.size) {
      const wanted = new Set(list.map(stem).filter((word) => known.has(word)));
      const whole = sum(wanted, tellingWord);
      for (const [slug, set] of described) {
        const likeness = whole ? sum([...wanted].filter((word) => set.has(word)), tellingWord) / whole : 0;
        if (likeness >= 0.4) best.set(slug, likeness);
      }
    }
    return best;
  };

  const apply = () => {
    const chosen = Object.fromEntries(fields.map((name) => [name, document.getElementById(name).value]));
    const url = new URL(location.href);
    for (const name of fields) chosen[name] ? url.searchParams.set(name, chosen[name]) : url.searchParams.delete(name);
    history.replaceState(null, "", url);
    const likeness = chosen.q.trim() ? ranked(chosen.q) : null;
    let shown = 0;
    for (const { row, slug } of rows) {
      const [area, devices, changed, priority, manner] = FACTS[slug];
      const fits =
        (!likeness || likeness.has(slug)) &&
        (!chosen.area || chosen.area === area) &&
        (!chosen.device || devices.split(" ").includes(chosen.device)) &&
        (!chosen.changed || changed.split(" ").includes(chosen.changed)) &&
        (!chosen.priority || chosen.priority === priority) &&
        (!chosen.manner || chosen.manner === manner);
      row.hidden = !fits;
      shown += fits;
    }
    const order = [...rows];
    if (likeness) {
      const rank = (one) => [-(likeness.get(one.slug) || 0).toFixed(2), PITFALLS[one.slug].priority];
      order.sort((a, b) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1]);
    }
    order.forEach(({ row }) => body.append(row));
    document.getElementById("count").textContent = `${shown} of ${rows.length} pitfalls`;
  };

  const start = new URL(location.href).searchParams;
  for (const name of fields) document.getElementById(name).value = start.get(name) || "";
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  apply();
});
