const BARS = '#bar';

/** Handles the choice between lines and bars; the URL's fragment keeps it, since it is not a parameter of the API. */
export function attachChartKind(charts) {
  const radios = document.querySelectorAll('input[name=chart]');
  const show = () => {
    const kind = location.hash === BARS ? 'bar' : 'line';
    for (const radio of radios) radio.checked = radio.value === kind;
    charts.kind = kind;
  };

  for (const radio of radios) {
    radio.addEventListener('change', () => {
      history.replaceState(null, '', location.pathname + location.search + (radio.value === 'bar' ? BARS : ''));
      charts.kind = radio.value;
    });
  }
  addEventListener('popstate', show);
  show();
}
