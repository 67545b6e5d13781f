const NEXT = { system: 'light', light: 'dark', dark: 'system' };
const WORDS = { system: 'Theme: system', light: 'Theme: light', dark: 'Theme: dark' };

/** Lets `button` cycle through the themes; calls `changed` after each change of the colours. */
export function attachTheme(button, changed) {
  const root = document.documentElement;
  const current = () => root.dataset.theme ?? 'system';
  const label = () => {
    button.textContent = WORDS[current()];
  };

  button.addEventListener('click', () => {
    const theme = NEXT[current()];
    if (theme === 'system') delete root.dataset.theme;
    else root.dataset.theme = theme;
    remember(theme);
    label();
    changed();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
  label();
}

function remember(theme) {
  try {
    localStorage.setItem('pitaya-theme', theme);
  } catch {
    // The browser refuses storage: the choice lasts as long as the page.
  }
}
