// Settings: what this appliance is, where clients come in, and where that is set.

import { moment, protocolName } from "../format";
import { useLive } from "../live";
import { Commands, Head, Loading, Trouble } from "../parts/bits";
import type { Status } from "../types";

export function Settings() {
  const { value: status, problem } = useLive<Status>("/status");
  return (
    <>
      <Head
        title="Settings"
        about="They are in a file, tidemark.toml in the state directory, so that they can be kept and compared."
      />
      {problem && <Trouble problem={problem} what="status" />}
      {!status && !problem && <Loading />}
      {status && (
        <section class="card">
          <dl class="pairs">
            <dt>Version</dt>
            <dd>{status.version}</dd>
            <dt>State directory</dt>
            <dd>
              <code>{status.state_dir}</code>
            </dd>
            <dt>Started</dt>
            <dd>{moment(status.started_ms)}</dd>
            <dt>Process</dt>
            <dd>{status.pid}</dd>
            {status.doors.map((door) => (
              <>
                <dt>{protocolName(door.protocol)}</dt>
                <dd>
                  <code>{door.address}</code>, TLS {door.tls}
                  {door.fingerprint && <small class="path">SHA-256 {door.fingerprint}</small>}
                </dd>
              </>
            ))}
          </dl>
        </section>
      )}
      <Commands lines={["tidemark status", "tidemark doctor"]} />
    </>
  );
}
