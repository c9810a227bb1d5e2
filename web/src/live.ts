// What is shown, kept true: each resource is asked for again when an event says so, and now and then anyway.

import { type Signal, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ask, Problem } from "./api";

export interface Shown<T> {
  value: T | null;
  problem: Problem | null;
}

interface Resource {
  shown: Signal<Shown<unknown>>;
  /** How often each part that shows it wants it asked for. */
  wanted: number[];
  asked: number;
  isAsking: boolean;
}

/** How often is asked, at most, while no event comes. */
const POLL_MS = 5000;
/** How long a resource that nobody shows is kept. */
const LINGER_MS = 1000;
const resources = new Map<string, Resource>();
/** The clock by which ages are told. */
export const now = signal(Date.now());

async function load(path: string, resource: Resource): Promise<void> {
  if (resource.isAsking) return;
  resource.isAsking = true;
  resource.asked = Date.now();
  try {
    const value = await ask("GET", path);
    const before = resource.shown.peek();
    // What has not changed is not drawn again.
    if (value !== before.value || before.problem) resource.shown.value = { value, problem: null };
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem(0, "failed", String(error));
    const value = problem.status === 404 ? null : resource.shown.peek().value;
    resource.shown.value = { value, problem };
  } finally {
    resource.isAsking = false;
  }
}

/** A resource of the API, for as long as the part that shows it is there. */
export function useLive<T>(path: string, every = POLL_MS): Shown<T> {
  let resource = resources.get(path);
  if (!resource) {
    resource = { shown: signal({ value: null, problem: null }), wanted: [], asked: 0, isAsking: false };
    resources.set(path, resource);
  }
  const mine = resource;
  useEffect(() => {
    mine.wanted.push(every);
    void load(path, mine);
    return () => {
      mine.wanted.splice(mine.wanted.indexOf(every), 1);
      // Not at once: the page that comes next may hold it already, and say so only after it was drawn.
      setTimeout(() => {
        if (mine.wanted.length === 0 && resources.get(path) === mine) resources.delete(path);
      }, LINGER_MS);
    };
  }, [mine]);
  return mine.shown.value as Shown<T>;
}

/** Asks for all that is shown again: after a change, or when an event came. */
export function refresh(): void {
  for (const [path, resource] of resources) if (resource.wanted.length > 0) void load(path, resource);
}

const KINDS = [
  "status",
  "volume",
  "mark",
  "view",
  "group",
  "target",
  "attachment",
  "job",
  "session",
  "alert",
  "policy",
  "again",
];

/** Begins to listen and to poll. */
export function begin(): void {
  setInterval(() => {
    now.value = Date.now();
    for (const [path, resource] of resources) {
      const every = Math.min(...resource.wanted);
      if (now.value - resource.asked >= every) void load(path, resource);
    }
  }, 1000);
  let due = 0;
  const soon = () => {
    clearTimeout(due);
    due = setTimeout(refresh, 150) as unknown as number;
  };
  const events = new EventSource("/api/v1/events");
  for (const kind of KINDS) events.addEventListener(kind, soon);
}
