// Settings: what this appliance is, where clients and programs come in, and where that is set.

import { moment, protocolName } from "../format";
import { useLive } from "../live";
import { Badge, Commands, Head, Loading, Trouble } from "../parts/bits";
import type { Status } from "../types";

export function Settings() {
  const { value: status, problem } = useLive<Status>("/status");
  return (
    <>
      <Head
        title="Settings"
        about={
          <>
            They stand in a file, so that they can be kept and compared: <code>tidemark.toml</code> in the
            state directory. Doors and certificates are read again by <code>systemctl reload tidemarkd</code>.
          </>
        }
      />
      {problem && <Trouble problem={problem} what="status" />}
      {!status && !problem && <Loading />}
      {status && (
        <div class="columns">
          <Appliance status={status} />
          <Doors doors={status.doors} />
        </div>
      )}
      <Programs />
      <Commands lines={["tidemark status", "tidemark doctor", "tidemark api openapi"]} />
    </>
  );
}

function Appliance({ status }: { status: Status }) {
  return (
    <section class="card" aria-labelledby="appliance">
      <h2 id="appliance">This appliance</h2>
      <dl class="pairs">
        <dt>Name</dt>
        <dd>
          {status.name}
          <small class="path">
            Stands in the subject of alerts. Another one: <code>name = "store1"</code> at the top of the file.
          </small>
        </dd>
        <dt>Version</dt>
        <dd>{status.version}</dd>
        <dt>State directory</dt>
        <dd>
          <code>{status.state_dir}</code>
        </dd>
        <dt>Started</dt>
        <dd>
          {moment(status.started_ms)}, process {status.pid}
        </dd>
      </dl>
    </section>
  );
}

function Doors({ doors }: { doors: Status["doors"] }) {
  return (
    <section class="card" aria-labelledby="doors">
      <h2 id="doors">Where clients come in</h2>
      <ul class="doors">
        {doors.map((door) => (
          <li key={door.protocol + door.address}>
            <Badge>{protocolName(door.protocol)}</Badge> <code>{door.address}</code>{" "}
            <span class="faint">
              {door.protocol === "iscsi" ? `port group ${door.group ?? 1}` : `TLS ${door.tls}`}
            </span>
            {door.fingerprint && <small class="path">Certificate, SHA-256: {door.fingerprint}</small>}
          </li>
        ))}
        {doors.length === 0 && <li class="faint">No door is open: clients cannot connect.</li>}
      </ul>
    </section>
  );
}

/** What programs ask: addresses of this same server. */
const ADDRESSES: [string, string][] = [
  ["/api/v1/openapi.json", "what the API can do, as OpenAPI 3.1"],
  ["/metrics", "for Prometheus, with a token of the role viewer"],
  ["/healthz", "whether the daemon lives"],
  ["/readyz", "whether clients can work"],
];

function Programs() {
  return (
    <section class="card" aria-labelledby="programs">
      <h2 id="programs">For programs</h2>
      <dl class="pairs">
        {ADDRESSES.map(([address, about]) => (
          <>
            <dt>
              <a href={address}>{address}</a>
            </dt>
            <dd>{about}</dd>
          </>
        ))}
      </dl>
    </section>
  );
}
