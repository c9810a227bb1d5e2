// A wizard: some steps, a check of everything with the commands that do the same, and then one thing after the other.
// What was done stays done when a later thing fails; it is tried again from there.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api";
import { refresh } from "../live";
import { Button, Commands, Head, Said } from "./bits";

/** One thing that is done at the end. */
export interface Act {
  text: string;
  command: string;
  run: () => Promise<unknown>;
}

export interface Step {
  name: string;
  about?: ComponentChildren;
  /** What is missing before one can go on. */
  why?: string | undefined;
  body: ComponentChildren;
}

interface WizardProps {
  title: string;
  about: ComponentChildren;
  steps: Step[];
  acts: Act[];
  /** What is chosen, a line each, for the check. */
  summary: [string, ComponentChildren][];
  /** What is sure to hold when it is done. */
  promise?: string;
  verb: string;
  /** Why it cannot be done by whoever is signed in. */
  refused?: string | undefined;
  leave: string;
  /** What comes after it. */
  after: ComponentChildren;
}

interface Progress {
  done: number;
  isBusy: boolean;
  problem: Problem | null;
}

export function Wizard(props: WizardProps) {
  const { title, about, steps, acts, verb, leave, refused } = props;
  const [at, set] = useState(0);
  const [reached, reach] = useState(0);
  const [progress, tell] = useState<Progress>({ done: 0, isBusy: false, problem: null });
  const heading = useRef<HTMLHeadingElement>(null);
  const names = [...steps.map((step) => step.name), "Check"];
  const step = steps[at];
  const isThrough = progress.done > 0 && progress.done >= acts.length;
  const why = refused ?? step?.why;
  const move = (to: number) => {
    set(to);
    reach(Math.max(reached, to));
  };
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) heading.current?.focus();
    isFirst.current = false;
  }, [at, isThrough]);

  const run = async () => {
    let done = progress.done;
    tell({ done, isBusy: true, problem: null });
    try {
      for (; done < acts.length; done += 1) {
        await acts[done]?.run();
        tell({ done: done + 1, isBusy: true, problem: null });
      }
      tell({ done, isBusy: false, problem: null });
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem(0, "failed", String(error));
      tell({ done, isBusy: false, problem });
    }
    refresh();
  };
  const submit = (event: Event) => {
    event.preventDefault();
    if (why || progress.isBusy || isThrough) return;
    if (step) move(at + 1);
    else void run();
  };
  return (
    <>
      <Head title={title} about={about} />
      <div class="wizard">
        <ol class="steps" aria-label="Steps">
          {names.map((name, n) => (
            <li
              key={name}
              class={n < at || isThrough ? "past" : ""}
              aria-current={n === at ? "step" : undefined}
            >
              {n <= reached && n !== at && progress.done === 0 ? (
                <button type="button" onClick={() => move(n)}>
                  {name}
                </button>
              ) : (
                <span>{name}</span>
              )}
            </li>
          ))}
        </ol>
        <form class="card" onSubmit={submit} aria-labelledby="step">
          <h2 id="step" tabIndex={-1} ref={heading}>
            {isThrough ? "Done" : (names[at] ?? "")}{" "}
            <small>{isThrough ? "" : `step ${at + 1} of ${names.length}`}</small>
          </h2>
          {step?.about && !isThrough && <p class="faint">{step.about}</p>}
          {step ? step.body : <Check {...props} progress={progress} />}
          {isThrough ? (
            props.after
          ) : (
            <div class="actions">
              <a class="button quiet leave" href={leave}>
                {progress.done > 0 ? "Leave it so" : "Cancel"}
              </a>
              {why && <span class="why">{why}</span>}
              {at > 0 && progress.done === 0 && <Button act={() => move(at - 1)}>Back</Button>}
              <button
                type="submit"
                class="button main"
                aria-disabled={why || progress.isBusy ? "true" : undefined}
                title={why}
              >
                {step ? "Next" : progress.isBusy ? "At it…" : progress.problem ? "Try again" : verb}
              </button>
            </div>
          )}
        </form>
      </div>
    </>
  );
}

function Check({ summary, acts, promise, progress }: WizardProps & { progress: Progress }) {
  const state = (n: number) =>
    n < progress.done
      ? "done"
      : n > progress.done
        ? ""
        : progress.problem
          ? "failed"
          : progress.isBusy
            ? "now"
            : "";
  return (
    <>
      {progress.done === 0 && (
        <dl class="pairs">
          {summary.map(([name, value]) => (
            <>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </>
          ))}
        </dl>
      )}
      {promise && progress.done === 0 && <p class="promise">{promise}</p>}
      {acts.length > 0 ? (
        <ol class="acts" aria-label="What is done" aria-live="polite">
          {acts.map((act, n) => (
            <li key={act.command} class={state(n)}>
              {act.text}
              {state(n) && <span class="hidden">: {state(n) === "now" ? "at it" : state(n)}</span>}
            </li>
          ))}
        </ol>
      ) : (
        <p>Nothing is to be done.</p>
      )}
      {progress.problem && (
        <div class="trouble" role="alert">
          <strong>{progress.problem.message}</strong>
          {progress.problem.wayOut && (
            <span>
              <Said text={progress.problem.wayOut} />
            </span>
          )}
        </div>
      )}
      {acts.length > 0 && <Commands lines={acts.map((act) => act.command)} />}
    </>
  );
}

interface ChoiceProps<T extends string> {
  legend: string;
  name: string;
  value: T;
  set: (value: T) => void;
  options: [T, string, ComponentChildren?, (string | undefined)?][];
}

/** One of a few: each with a line that says what it means, and why it cannot be had where it cannot. */
export function Choice<T extends string>({ legend, name, value, set, options }: ChoiceProps<T>) {
  return (
    <fieldset class="choice">
      <legend>{legend}</legend>
      {options.map(([key, label, hint, why]) => (
        <label key={key} class={why ? "cannot" : value === key ? "chosen-one" : ""}>
          <input
            type="radio"
            name={name}
            value={key}
            checked={value === key}
            disabled={Boolean(why)}
            onChange={() => set(key)}
          />
          <span>
            {label}
            {(why ?? hint) && <small>{why ?? hint}</small>}
          </span>
        </label>
      ))}
    </fieldset>
  );
}
