// What stands before the console: a card with a form.

import type { ComponentChildren } from "preact";
import type { Problem } from "../api";

interface GateProps {
  title: string;
  about?: ComponentChildren;
  verb: string;
  submit: () => Promise<void>;
  problem: Problem | null;
  children: ComponentChildren;
}

export function Gate({ title, about, verb, submit, problem, children }: GateProps) {
  return (
    <main class="gate">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <img src={MARK} alt="" width="44" height="44" />
        <h1 tabIndex={-1}>{title}</h1>
        {about && <p>{about}</p>}
        {children}
        {problem && (
          <div class="trouble" role="alert">
            <strong>{problem.message}</strong>
            {problem.wayOut && <span>{problem.wayOut}</span>}
          </div>
        )}
        <button type="submit" class="button main">
          {verb}
        </button>
      </form>
    </main>
  );
}
