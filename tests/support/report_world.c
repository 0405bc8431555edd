#include "tests/support/report_world.h"

#include "casework/cases/v1/case_service.pb-c.h"
#include "tests/support/activity.h"

#include <criterion/criterion.h>
#include <string.h>

struct report_world report_world_begin(const char *zone, const struct suite_options *options)
{
    struct report_world w = {.suite = suite_start(options), .memory = arena_new(256 << 20)};
    w.account = suite_create_account(w.suite, "acme", zone, w.memory);
    w.position = suite_position(w.suite, w.account);
    return w;
}

void report_world_end(struct report_world *w)
{
    suite_stop(w->suite);
    arena_free(w->memory);
}

void report_world_go(const struct report_world *w, const char *time)
{
    suite_advance(w->suite, activity_instant(time) - suite_now_us(w->suite));
}

const char *report_world_create(struct report_world *w)
{
    return suite_create_case(w->suite, w->account, "Cannot log in", "Nothing happens.", w->memory,
                             &w->position);
}

/* False: the case is in a state that does not allow it. */
static bool act(struct report_world *w, const char *method, const char *name)
{
    const ProtobufCServiceDescriptor *cases = &casework__cases__v1__case_service__descriptor;
    const ProtobufCMethodDescriptor *m = protobuf_c_service_descriptor_get_method_by_name(cases, method);
    ProtobufCMessage *request = arena_alloc(w->memory, m->input->sizeof_message), *response;
    error err = {0};
    m->input->message_init(request);
    size_t to = protobuf_c_message_descriptor_get_field_by_name(m->input, "name")->offset;
    memcpy((char *)request + to, &name, sizeof name);
    if (!suite_try(w->suite, cases, method, request, w->memory, &response, &err)) {
        cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION, "%s: %s", method, err.message);
        return false;
    }
    size_t from = protobuf_c_message_descriptor_get_field_by_name(m->output, "position")->offset;
    memcpy(&w->position, (const char *)response + from, sizeof w->position);
    return true;
}

void report_world_act(struct report_world *w, const char *method, const char *name)
{
    cr_assert(act(w, method, name), "%s of %s", method, name);
}

void report_world_try(struct report_world *w, const char *method, const char *name)
{
    (void)act(w, method, name);
}

bool report_world_died(suite *s, pid_t *former)
{
    if (suite_pid(s, SUITE_REPORT, 0) == *former)
        return false;
    suite_await_restart(s, SUITE_REPORT, 0, *former);
    *former = suite_pid(s, SUITE_REPORT, 0);
    return true;
}
