// Where in the console one is: `#/volumes/mail` is ["volumes", "mail"].

import { signal } from "@preact/signals";

function read(): string[] {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);
  return parts.map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}

export const route = signal<string[]>(read());

addEventListener("hashchange", () => {
  route.value = read();
  scrollTo(0, 0);
  document.querySelector<HTMLElement>("h1")?.focus();
});

/** The address of a page. */
export function to(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

export function go(...parts: string[]): void {
  location.hash = to(...parts);
}
