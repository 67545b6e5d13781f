// Runs before the first paint, so that a remembered choice does not flash the other theme.
try {
  const theme = localStorage.getItem('pitaya-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is refused: the system's theme stands.
}
