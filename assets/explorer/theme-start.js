// Runs before the first paint, so that the other theme does not flash before a remembered one.
try {
  const theme = localStorage.getItem('pitaya-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // The browser refuses storage: the system's theme applies.
}
