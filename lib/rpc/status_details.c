#include "rpc/status_details.h"

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>

#define TYPE_PREFIX "type.googleapis.com/"
#define DOMAIN "casework"

enum { DETAILS_MAX = 3 };

/* Any's of one Status, packed one after the other into `data`. */
struct packing {
    Google__Protobuf__Any any[DETAILS_MAX];
    Google__Protobuf__Any *list[DETAILS_MAX];
    size_t count;
    unsigned char data[STATUS_DETAILS_SIZE / 2];
    size_t used;
};

static void add_detail(struct packing *p, const char *type_url, const ProtobufCMessage *detail)
{
    size_t length = protobuf_c_message_get_packed_size(detail);
    if (p->count >= DETAILS_MAX || length > sizeof p->data - p->used)
        return;
    Google__Protobuf__Any *any = &p->any[p->count];
    google__protobuf__any__init(any);
    any->type_url = (char *)(uintptr_t)type_url;
    any->value.data = p->data + p->used;
    any->value.len = protobuf_c_message_pack(detail, any->value.data);
    p->list[p->count++] = any;
    p->used += length;
}

static void add_info(struct packing *p, const error *err)
{
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry entries[ERROR_INFO_MAX];
    Google__Rpc__ErrorInfo__MetadataEntry *list[ERROR_INFO_MAX];
    for (int i = 0; i < err->info_count; i++) {
        google__rpc__error_info__metadata_entry__init(&entries[i]);
        entries[i].key = (char *)(uintptr_t)err->info[i].key;
        entries[i].value = (char *)(uintptr_t)err->info[i].value;
        list[i] = &entries[i];
    }
    /* No error without a reason: where none was thought of, it is the code's name. */
    info.reason = (char *)(uintptr_t)(*err->reason ? err->reason : status_code_name(err->code));
    info.domain = (char *)(uintptr_t)DOMAIN;
    info.n_metadata = (size_t)err->info_count;
    info.metadata = list;
    add_detail(p, TYPE_PREFIX "google.rpc.ErrorInfo", &info.base);
}

static void add_violations(struct packing *p, const error *err)
{
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    Google__Rpc__BadRequest__FieldViolation violations[ERROR_VIOLATIONS_MAX];
    Google__Rpc__BadRequest__FieldViolation *list[ERROR_VIOLATIONS_MAX];
    for (int i = 0; i < err->violation_count; i++) {
        google__rpc__bad_request__field_violation__init(&violations[i]);
        violations[i].field = (char *)(uintptr_t)err->violations[i].key;
        violations[i].description = (char *)(uintptr_t)err->violations[i].value;
        list[i] = &violations[i];
    }
    bad.n_field_violations = (size_t)err->violation_count;
    bad.field_violations = list;
    add_detail(p, TYPE_PREFIX "google.rpc.BadRequest", &bad.base);
}

#define RETRY_US 100000

/*
 * Beside UNAVAILABLE, which says as much: where something is full or busy for the moment. Not where the
 * client has to do something else first (close tabs, ask for less, read faster).
 */
static const char *const passing[] = {
    "BUSY",
    "CONFLICT",
    "DATABASE_BUSY",
    "DATABASE_FULL",
    "MEMORY",
    "NO_MEMORY",
    "NO_THREAD",
    "OUT_OF_MEMORY",
    "OVERLOADED",
    "SERVER_BUSY",
    "TOO_BUSY",
    "TOO_MANY_JOBS",
    "TOO_MANY_REQUESTS",
    "TOO_MANY_SNAPSHOTS",
    "TOO_MANY_WAITING",
    "TOO_MANY_WATCHES",
};

/* 0: waiting does not help, or nobody knows. */
static int64_t retry_after_us(const error *err)
{
    if (err->retry_after_us > 0)
        return err->retry_after_us;
    if (err->code == STATUS_UNAVAILABLE)
        return RETRY_US;
    if (err->code != STATUS_RESOURCE_EXHAUSTED && err->code != STATUS_ABORTED)
        return 0;
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        if (strcmp(err->reason, passing[i]) == 0)
            return RETRY_US;
    }
    return 0;
}

static void add_retry(struct packing *p, int64_t delay_us)
{
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    delay.seconds = delay_us / 1000000;
    delay.nanos = (int32_t)(delay_us % 1000000 * 1000);
    retry.retry_delay = &delay;
    add_detail(p, TYPE_PREFIX "google.rpc.RetryInfo", &retry.base);
}

size_t status_details_encode(const error *err, unsigned char data[STATUS_DETAILS_SIZE])
{
    struct packing p;
    p.count = p.used = 0;
    add_info(&p, err);
    if (err->violation_count > 0)
        add_violations(&p, err);
    int64_t delay_us = retry_after_us(err);
    if (delay_us > 0)
        add_retry(&p, delay_us);
    if (p.count == 0)
        return 0;
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    status.code = (int32_t)err->code;
    status.message = (char *)(uintptr_t)err->message;
    status.n_details = p.count;
    status.details = p.list;
    if (google__rpc__status__get_packed_size(&status) > STATUS_DETAILS_SIZE)
        return 0;
    return google__rpc__status__pack(&status, data);
}

static void copy_text(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text);
}

static void decode_info(const ProtobufCMessage *message, error *err)
{
    const Google__Rpc__ErrorInfo *info = (const void *)message;
    copy_text(err->reason, sizeof err->reason, info->reason);
    for (size_t i = 0; i < info->n_metadata; i++)
        error_add_info(err, info->metadata[i]->key, info->metadata[i]->value);
}

static void decode_violations(const ProtobufCMessage *message, error *err)
{
    const Google__Rpc__BadRequest *bad = (const void *)message;
    for (size_t i = 0; i < bad->n_field_violations && err->violation_count < ERROR_VIOLATIONS_MAX; i++) {
        struct error_pair *pair = &err->violations[err->violation_count++];
        copy_text(pair->key, sizeof pair->key, bad->field_violations[i]->field);
        copy_text(pair->value, sizeof pair->value, bad->field_violations[i]->description);
    }
}

static void decode_retry(const ProtobufCMessage *message, error *err)
{
    const Google__Rpc__RetryInfo *retry = (const void *)message;
    int64_t delay_us;
    if (wire_duration_us(retry->retry_delay, &delay_us) && delay_us > 0)
        err->retry_after_us = delay_us;
}

static const struct {
    const char *url;
    const ProtobufCMessageDescriptor *type;
    void (*decode)(const ProtobufCMessage *message, error *err);
} known[] = {
    {TYPE_PREFIX "google.rpc.ErrorInfo", &google__rpc__error_info__descriptor, decode_info},
    {TYPE_PREFIX "google.rpc.BadRequest", &google__rpc__bad_request__descriptor, decode_violations},
    {TYPE_PREFIX "google.rpc.RetryInfo", &google__rpc__retry_info__descriptor, decode_retry},
};

static void decode_any(const Google__Protobuf__Any *any, arena *memory, error *err)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        ProtobufCMessage *message;
        if (strcmp(any->type_url, known[i].url) == 0 &&
            wire_unpack(known[i].type, any->value.data, any->value.len, memory, &message, NULL))
            known[i].decode(message, err);
    }
}

void status_details_decode(const void *data, size_t length, error *err)
{
    arena *memory = arena_new(64 * 1024);
    ProtobufCMessage *message;
    if (memory && wire_unpack(&google__rpc__status__descriptor, data, length, memory, &message, NULL)) {
        const Google__Rpc__Status *status = (const void *)message;
        for (size_t i = 0; i < status->n_details; i++)
            decode_any(status->details[i], memory, err);
    }
    arena_free(memory);
}
