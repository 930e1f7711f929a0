'use strict';
(() => {
  const rows = [...document.querySelectorAll('#matrix tbody tr')];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const links = new Map();
  for (const link of document.querySelectorAll('svg a[data-c]')) {
    const id = 'c' + link.dataset.c;
    links.set(id, [...(links.get(id) || []), link]);
  }
  const search = document.getElementById('search');
  const count = document.getElementById('count');
  const fold = document.getElementById('fold');
  const shown = () => rows.filter((row) => !row.hidden);

  const find = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    rows.forEach((row, place) => {
      const fits = words.every((word) => texts[place].includes(word));
      row.hidden = !fits;
      found += fits ? 1 : 0;
      for (const link of links.get(row.id) || []) link.classList.toggle('dim', !fits);
    });
    count.textContent = words.length ? found + ' of ' + rows.length : rows.length + ' containers';
    document.getElementById('none').hidden = found > 0 || rows.length === 0;
  };
  const unfold = (row) => {
    document.getElementById('containers').open = true;
    row.hidden = false;
    const details = row.querySelector('details');
    details.open = true;
    details.querySelector('summary').focus();
    row.scrollIntoView({ block: 'center' });
  };
  const step = (by) => {
    const all = shown();
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)];
    if (next) {
      next.querySelector('summary').focus();
      next.scrollIntoView({ block: 'nearest' });
    }
  };

  search.addEventListener('input', find);
  document.addEventListener('click', (event) => {
    const link = event.target.closest && event.target.closest('a[data-c]');
    const row = link && document.getElementById('c' + link.dataset.c);
    if (row) {
      event.preventDefault();
      unfold(row);
    }
  });
  fold.addEventListener('click', () => {
    const open = fold.textContent === 'Unfold all';
    for (const row of shown()) row.querySelector('details').open = open;
    fold.textContent = open ? 'Fold all' : 'Unfold all';
  });
  document.getElementById('theme').addEventListener('click', () => {
    const root = document.documentElement;
    const now = root.dataset.theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
    root.dataset.theme = now === 'dark' ? 'light' : 'dark';
  });
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') {
      search.value = '';
      find();
      search.blur();
    } else if (document.activeElement === search) {
      if (event.key === 'Enter' || event.key === 'ArrowDown') step(1);
    } else if (event.key === '/') {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === 'j') {
      step(1);
    } else if (event.key === 'k') {
      step(-1);
    }
  });
  find();
})();
