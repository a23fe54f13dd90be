// Before anything is painted: the theme that was chosen, or the system's.
(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const chosen = () => {
    try {
      return localStorage.getItem('theme');
    } catch {
      return null;
    }
  };
  const apply = () => {
    document.documentElement.dataset.theme = chosen() ?? (dark.matches ? 'dark' : 'light');
    dispatchEvent(new Event('themechange'));
  };
  apply();
  dark.addEventListener('change', apply);
  window.setTheme = (theme) => {
    try {
      // What the system says anyway need not be remembered, and then follows it again.
      if (theme === (dark.matches ? 'dark' : 'light')) localStorage.removeItem('theme');
      else localStorage.setItem('theme', theme);
    } catch {
      // Without storage the choice holds for this page.
      document.documentElement.dataset.theme = theme;
      dispatchEvent(new Event('themechange'));
      return;
    }
    apply();
  };
})();
