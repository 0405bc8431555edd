#include "tests/support/search_world.h"

#include "base/clock.h"
#include "rpc/wire.h"

#include <criterion/criterion.h>
#include <string.h>

static void read_case(void *context, arena *memory, const char *account, int64_t number,
                      Casework__Cases__V1__Document *document)
{
    struct search_world *world = context;
    (void)account;
    atomic_fetch_add(&world->reads, 1);
    pthread_mutex_lock(&world->lock);
    while (world->closed)
        pthread_cond_wait(&world->opened, &world->lock);
    struct world_case *now = &world->cases[number % CASES_MAX];
    const struct world_case c = *now;
    if (now->reads > 0 && --now->reads == 0)
        now->there = false;
    const char *contact_name = world->contact_name;
    bool drop = world->drop;
    pthread_mutex_unlock(&world->lock);
    if (drop)
        search_index_drop(world->server.service.index, "acme");
    if (!c.there)
        return;
    document->state = CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_LIVE;
    document->subject = (char *)c.subject;
    document->status = (Casework__Cases__V1__CaseStatus)c.status;
    document->owner = (char *)"accounts/acme/agents/ann";
    document->channel = (char *)"accounts/acme/channels/mail";
    document->update_time = wire_timestamp(memory, c.update_time_us);
    document->labels = arena_calloc(memory, 1, sizeof(char *));
    document->labels[0] = (char *)c.label;
    document->n_labels = c.label != NULL;
    if (contact_name) {
        document->contact = (char *)"accounts/acme/contacts/k1";
        document->contact_display_name = (char *)contact_name;
    }
    Casework__Cases__V1__DocumentMessage *message = arena_alloc(memory, sizeof *message);
    casework__cases__v1__document_message__init(message);
    message->body = (char *)c.body;
    document->messages = arena_calloc(memory, 1, sizeof(Casework__Cases__V1__DocumentMessage *));
    document->messages[0] = message;
    document->n_messages = 1;
}

void world_caught_up(void *context)
{
    atomic_fetch_add(&((struct search_world *)context)->caught_up, 1);
}

void world_begin(struct search_world *world)
{
    memset(world, 0, sizeof *world);
    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->opened, NULL);
    search_server_begin(&world->server, read_case, world);
    search_server_start(&world->server, world_caught_up, world);
}

void world_end(struct search_world *world)
{
    search_server_end(&world->server);
    pthread_cond_destroy(&world->opened);
    pthread_mutex_destroy(&world->lock);
}

/* Changes a case and tells of it. */
int64_t world_set(struct search_world *world, int64_t number, struct world_case c)
{
    pthread_mutex_lock(&world->lock);
    world->cases[number] = c;
    pthread_mutex_unlock(&world->lock);
    return fake_events_add(world->server.events, "acme", number,
                           CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED, NULL);
}

int64_t world_set_text(struct search_world *world, int64_t number, const char *subject, const char *body)
{
    return world_set(world, number,
                     (struct world_case){.there = true,
                                         .subject = subject,
                                         .body = body,
                                         .status = 2,
                                         .update_time_us = number * CLOCK_SECOND});
}

world_request world_ask(const char *query, int64_t position)
{
    world_request request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)"accounts/acme";
    request.query = (char *)query;
    request.min_position = position;
    return request;
}

/* NULL: it failed, world->server.err says why. */
world_response *world_search_within(struct search_world *world, const world_request *request,
                                    int64_t timeout_us)
{
    const struct rpc_client_options options = {.timeout_us = timeout_us};
    ProtobufCMessage *response;
    world->server.err = (error){0};
    if (!rpc_client_call(world->server.channel, &casework__search__v1__search_service__descriptor,
                         "SearchCases", &request->base, &options, world->server.memory, &response,
                         &world->server.err))
        return NULL;
    return (world_response *)response;
}

world_response *world_search(struct search_world *world, const world_request *request)
{
    world_response *response = world_search_within(world, request, 20 * CLOCK_SECOND);
    cr_assert(response, "%s: %s", status_code_name(world->server.err.code), world->server.err.message);
    return response;
}

int world_total(struct search_world *world, const char *query, int64_t position)
{
    world_request request = world_ask(query, position);
    return world_search(world, &request)->total_size;
}
