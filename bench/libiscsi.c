/* A load over libiscsi, which is what other people's programs use: the same requests as those of this
 * bench's own initiator, so that neither flatters anyone. One session, one connection, one thread.
 *
 *   libiscsi-load URL DEPTH SECONDS COUNT < requests > answers
 *
 * Requests are {u64 offset; u32 len; u32 kind}, kind 0 reads, 1 writes, 2 synchronizes the cache; after the
 * last one comes the first again. It ends after SECONDS, or once COUNT reads and writes were issued. Answers
 * are {u32 kind; u32 len; u32 at_us; u32 latency_us}, then one of kind 3 that has the whole time in at_us. */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

struct request {
    uint64_t offset;
    uint32_t len, kind;
};
struct answer {
    uint32_t kind, len, at_us, latency_us;
};
struct slot {
    struct request request;
    uint64_t start_us;
    struct slot *next;
};

enum { READ, WRITE, SYNC, END };
/* As much as the bench's own initiator writes from. */
#define STORE_LEN (8u << 20)
#define SILENCE_MS 60000
#define CHUNK 65536

static struct iscsi_context *session;
static int lun;
static uint32_t block_len;
static struct request *requests;
static size_t request_count, next_request;
static struct answer *answers;
static size_t answer_count, answer_room;
static struct slot *spare;
static unsigned char *store;
static size_t store_at;
static uint64_t begin_us, time_us, issued, issued_max;
static uint64_t in_flight;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, session ? iscsi_get_error(session) : "");
    exit(1);
}

static uint64_t now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void *room(void *old, size_t count, size_t len) {
    void *new = realloc(old, count * len);
    if (!new) fail("memory");
    return new;
}

static void answered(struct iscsi_context *from, int status, void *data, void *private_data);

static void issue(void) {
    struct slot *slot = spare;
    struct scsi_task *task;
    spare = slot->next;
    slot->request = requests[next_request++ % request_count];
    slot->start_us = now_us();
    uint64_t block = slot->request.offset / block_len;
    uint32_t len = slot->request.len;
    switch (slot->request.kind) {
    case READ:
        task = iscsi_read16_task(session, lun, block, len, (int)block_len, 0, 0, 0, 0, 0, answered, slot);
        break;
    case WRITE:
        if (store_at + len > STORE_LEN) store_at = 0;
        task = iscsi_write16_task(session, lun, block, store + store_at, len, (int)block_len, 0, 0, 0, 0, 0,
                                  answered, slot);
        store_at += len;
        break;
    default:
        task = iscsi_synchronizecache16_task(session, lun, 0, 0, 0, 0, answered, slot);
    }
    if (!task) fail("issue a command");
    issued += slot->request.kind != SYNC;
    in_flight++;
}

static void answered(struct iscsi_context *from, int status, void *data, void *private_data) {
    struct slot *slot = private_data;
    uint64_t now = now_us();
    (void)from;
    if (status != SCSI_STATUS_GOOD) fail("a command failed");
    if (answer_count == answer_room) {
        answer_room += CHUNK;
        answers = room(answers, answer_room, sizeof *answers);
    }
    answers[answer_count++] = (struct answer){slot->request.kind, slot->request.len,
                                              (uint32_t)(now - begin_us), (uint32_t)(now - slot->start_us)};
    scsi_free_scsi_task(data);
    slot->next = spare;
    spare = slot;
    in_flight--;
    if (now - begin_us < time_us && issued < issued_max) issue();
}

static void take_requests(void) {
    size_t count;
    do {
        requests = room(requests, request_count + CHUNK, sizeof *requests);
        count = fread(requests + request_count, sizeof *requests, CHUNK, stdin);
        request_count += count;
    } while (count > 0);
    if (request_count == 0) fail("no requests");
}

static void log_in(const char *text) {
    session = iscsi_create_context("iqn.2026-11.dev.tidemark:bench-libiscsi");
    if (!session) fail("no session");
    struct iscsi_url *url = iscsi_parse_full_url(session, text);
    if (!url) fail("understand the address");
    lun = url->lun;
    iscsi_set_targetname(session, url->target);
    iscsi_set_session_type(session, ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(session, ISCSI_HEADER_DIGEST_NONE);
    if (iscsi_full_connect_sync(session, url->portal, lun)) fail("log in");
    struct scsi_task *task = iscsi_readcapacity16_sync(session, lun);
    if (!task || task->status != SCSI_STATUS_GOOD) fail("ask for the capacity");
    struct scsi_readcapacity16 *capacity = scsi_datain_unmarshall(task);
    if (!capacity || capacity->block_length == 0) fail("understand the capacity");
    block_len = capacity->block_length;
    scsi_free_scsi_task(task);
    iscsi_destroy_url(url);
}

int main(int count, char **words) {
    if (count != 5) {
        fprintf(stderr, "usage: libiscsi-load URL DEPTH SECONDS COUNT < requests > answers\n");
        return 2;
    }
    size_t depth = strtoul(words[2], NULL, 10);
    time_us = (uint64_t)(strtod(words[3], NULL) * 1e6);
    issued_max = strtoull(words[4], NULL, 10);
    take_requests();
    store = room(NULL, STORE_LEN, 1);
    srand((unsigned)getpid());
    for (size_t at = 0; at < STORE_LEN; at++) store[at] = (unsigned char)rand();
    struct slot *slots = room(NULL, depth, sizeof *slots);
    for (size_t at = 0; at < depth; at++) {
        slots[at].next = spare;
        spare = &slots[at];
    }
    log_in(words[1]);
    begin_us = now_us();
    while (spare && issued < issued_max) issue();
    while (in_flight > 0) {
        struct pollfd ready = {.fd = iscsi_get_fd(session), .events = (short)iscsi_which_events(session)};
        if (poll(&ready, 1, SILENCE_MS) <= 0) fail("wait for answers");
        if (iscsi_service(session, ready.revents)) fail("go on");
    }
    struct answer end = {END, 0, (uint32_t)(now_us() - begin_us), 0};
    if (fwrite(answers, sizeof *answers, answer_count, stdout) != answer_count) fail("write the answers");
    if (fwrite(&end, sizeof end, 1, stdout) != 1 || fflush(stdout)) fail("write the answers");
    iscsi_logout_sync(session);
    return 0;
}
