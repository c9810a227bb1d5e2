// How bad something is, by word and by shape: colour alone tells nothing to those who do not see it.

import type { Severity } from "../types";
import { Badge } from "./bits";

const SHAPES = {
  critical: "M5 1h6l4 4v6l-4 4H5l-4-4V5z",
  warning: "M8 1l7.5 14H.5z",
  resolved: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1z",
} as const;
const TONES = { critical: "bad", warning: "warn", resolved: "good" } as const;

/** An octagon for what is critical, a triangle for a warning, a circle for what is over. */
export function SeverityBadge({ is }: { is: Severity | "resolved" }) {
  return (
    <Badge tone={TONES[is]}>
      <svg class="shape" viewBox="0 0 16 16" width="12" height="12" aria-hidden="true">
        <path d={SHAPES[is]} fill="currentColor" />
      </svg>{" "}
      {is}
    </Badge>
  );
}
