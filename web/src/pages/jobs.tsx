// Work that takes long.

import { ask, whyNot } from "../api";
import { ago, moment, percent, size } from "../format";
import { now, useLive } from "../live";
import { Badge, Button, Commands, Empty, Head, Loading, Meter, Trouble } from "../parts/bits";
import { question } from "../parts/form";
import type { Job } from "../types";

const TONES = { running: "info", done: "good", failed: "bad", cancelled: "warn" } as const;

export function Jobs() {
  const { value: all, problem } = useLive<Job[]>("/jobs", 1500);
  return (
    <>
      <Head
        title="Jobs"
        about="Scrubs, rollbacks, releases and promotions: how far they are, and how they ended."
      />
      {problem && <Trouble problem={problem} what="jobs" />}
      {!all && !problem && <Loading />}
      {all?.length === 0 && (
        <Empty title="Nothing runs, and nothing ran since the daemon started">
          What takes longer than a moment shows up here with its progress, and stays until a hundred newer
          ones have ended.
        </Empty>
      )}
      {all && all.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th>Job</th>
              <th>Of</th>
              <th>State</th>
              <th>Progress</th>
              <th>Started</th>
              <th>
                <span class="hidden">What can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {[...all].reverse().map((job) => (
              <Row key={job.id} job={job} />
            ))}
          </tbody>
        </table>
      )}
      <Commands lines={["tidemark job ls"]} />
    </>
  );
}

function Row({ job }: { job: Job }) {
  const cancel = () =>
    question({
      title: `Cancel job ${job.id}`,
      about: `The ${job.kind} of ${job.of} is told to stop.`,
      verb: "Cancel the job",
      command: () => `tidemark job cancel ${job.id}`,
      act: async () => {
        await ask("DELETE", `/jobs/${job.id}`);
        return `Job ${job.id} was told to stop.`;
      },
    });
  return (
    <tr>
      <td data-label="Job">
        {job.id} {job.kind}
      </td>
      <td data-label="Of">{job.of}</td>
      <td data-label="State">
        <Badge tone={TONES[job.state]}>{job.state}</Badge>
        {job.error && (
          <small class="path">
            {job.error.detail}
            {job.error.way_out && `; ${job.error.way_out}`}
          </small>
        )}
      </td>
      <td data-label="Progress">
        {job.total_bytes > 0 ? (
          <span class="withmeter">
            <Meter part={job.done_bytes} whole={job.total_bytes} label={`job ${job.id} done`} isProgress />
            {percent(job.done_bytes, job.total_bytes)} of {size(job.total_bytes)}
          </span>
        ) : (
          "–"
        )}
      </td>
      <td data-label="Started" title={moment(job.started_ms)}>
        {ago(job.started_ms, now.value)}
      </td>
      <td class="deeds">
        {job.state === "running" && (
          <Button act={cancel} why={whyNot("operator")} label={`Cancel job ${job.id}`}>
            Cancel
          </Button>
        )}
      </td>
    </tr>
  );
}
