// Runs before the first paint. Swagger UI is dark below `html.dark-mode`; this follows the system, or the theme that was chosen on the
// explorer.
const dark = matchMedia('(prefers-color-scheme: dark)');

function chosen() {
  try {
    return localStorage.getItem('pitaya-theme');
  } catch {
    // The browser refuses storage: the system's theme applies.
    return null;
  }
}

function show() {
  const theme = chosen();
  const isDark = theme === 'dark' || (theme !== 'light' && dark.matches);
  document.documentElement.classList.toggle('dark-mode', isDark);
}

show();
dark.addEventListener('change', show);
addEventListener('storage', show);
