#include "cli/up_service.h"

#include "base/arena.h"
#include "base/clock.h"
#include "embedded/port.h"
#include "grpc/health/v1/health.pb-c.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define ASK_TIMEOUT (CLOCK_SECOND / 2)
#define STOP_GRACE (20 * CLOCK_SECOND)
#define RESTART_DELAY_LEAST (CLOCK_SECOND / 5)
#define RESTART_DELAY_MOST (10 * CLOCK_SECOND)
#define SETTLED_AFTER (30 * CLOCK_SECOND) /* having run so long, the next death counts as the first */

enum { EARLY_DEATHS_MAX = 6, METRICS_ABOVE = 2100, REPLICA_STEP = 10, SETTING_SIZE = UP_URL_SIZE + 32 };

static const char *const names[UP_SERVICES] = {"case", "search", "sla", "report"};

const char *up_service_name(enum up_service service)
{
    return names[service];
}

static bool choose_port(unsigned wanted, uint16_t *ret_port, char ret_address[32], error *err)
{
    uint16_t port = wanted ? (uint16_t)wanted : port_reserve();
    if (port == 0)
        return error_set(err, STATUS_UNAVAILABLE, "NO_PORT", "no port is free");
    if (wanted && !port_is_free(port))
        return error_set(err, STATUS_FAILED_PRECONDITION, "NO_PORT",
                         "port %u is taken; --port chooses others, --port 0 any free ones", wanted);
    snprintf(ret_address, 32, "127.0.0.1:%u", port);
    *ret_port = port;
    return true;
}

static bool add_instance(struct up_services *s, enum up_service service, unsigned replica, error *err)
{
    struct up_instance *i = &s->list[s->count];
    unsigned base = s->options->port ? s->options->port + replica * REPLICA_STEP + (unsigned)service : 0;
    *i =
        (struct up_instance){.service = service, .replica = replica, .restart_delay_us = RESTART_DELAY_LEAST};
    uint16_t metrics_port;
    if (!choose_port(base, &i->port, i->address, err) ||
        !choose_port(base ? base + METRICS_ABOVE : 0, &metrics_port, i->metrics, err))
        return false;
    if (snprintf(i->log, sizeof i->log, "%s/%s-%u.log", s->ground->logs, names[service], replica + 1) >=
        (int)sizeof i->log)
        return error_set(err, STATUS_INVALID_ARGUMENT, "PATH", "too long: %s", s->ground->logs);
    if (!rpc_channel_new(&(struct rpc_channel_options){.target = i->address}, &i->channel, err))
        return false;
    s->count++;
    return true;
}

/* One address as it is, several as a list that gRPC goes round. */
static void write_target(struct up_services *s, enum up_service service)
{
    char *text = s->targets[service];
    size_t length = 0;
    if (s->options->replicas > 1)
        length = (size_t)snprintf(text, sizeof s->targets[service], "ipv4:");
    for (size_t i = 0, n = 0; i < s->count; i++)
        if (s->list[i].service == service)
            length += (size_t)snprintf(text + length, sizeof s->targets[service] - length, "%s%s",
                                       n++ ? "," : "", s->list[i].address);
}

/* The case service is the only one that can be told where a manual clock starts. */
static void clock_setting(const struct up_services *s, enum up_service service, char *ret_text, size_t size)
{
    bool manual = strncmp(s->options->clock, "manual", 6) == 0;
    snprintf(ret_text, size, "CLOCK=%s", service != UP_CASE && manual ? "manual" : s->options->clock);
}

static bool start_instance(struct up_services *s, struct up_instance *i, error *err)
{
    char program[PLACE_SIZE + 32], url[UP_URL_SIZE];
    char text[5 + UP_SERVICES + 3][SETTING_SIZE];
    const char *settings[5 + UP_SERVICES + 3 + 1];
    size_t count = 0;
    snprintf(text[count++], SETTING_SIZE, "LISTEN_ADDRESS=%s", i->address);
    snprintf(text[count++], SETTING_SIZE, "METRICS_ADDRESS=%s", i->metrics);
    snprintf(text[count++], SETTING_SIZE, "AUTH_KEY_DIRECTORY=%s", s->ground->keys);
    snprintf(text[count++], SETTING_SIZE, "LOG_LEVEL=%s", s->options->log_level);
    clock_setting(s, i->service, text[count++], SETTING_SIZE);
    snprintf(text[count++], SETTING_SIZE, "CASE_TARGET=%s", s->targets[UP_CASE]);
    snprintf(text[count++], SETTING_SIZE, "SEARCH_TARGET=%s", s->targets[UP_SEARCH]);
    snprintf(text[count++], SETTING_SIZE, "SLA_TARGET=%s", s->targets[UP_SLA]);
    snprintf(text[count++], SETTING_SIZE, "REPORT_TARGET=%s", s->targets[UP_REPORT]);
    snprintf(text[count++], SETTING_SIZE, "REDIS_URL=%s", s->ground->redis_url);
    up_ground_database(s->ground, names[i->service], url);
    if (url[0])
        snprintf(text[count++], SETTING_SIZE, "DATABASE_URL=%s", url);
    if (i->service == UP_SEARCH && !s->ground->ephemeral)
        snprintf(text[count++], SETTING_SIZE, "SEARCH_DATA_DIRECTORY=%s/search-%u", s->ground->directory,
                 i->replica + 1);
    for (size_t n = 0; n < count; n++)
        settings[n] = text[n];
    settings[count] = NULL;
    snprintf(program, sizeof program, "%s/casework-%s", s->options->programs, names[i->service]);
    i->healthy = false;
    i->started_at_us = clock_monotonic_us();
    return process_start(&(struct process_options){.argv = (const char *const[]){program, NULL},
                                                   .output_file = i->log,
                                                   .settings = settings,
                                                   .death_signal = SIGTERM},
                         &i->process, err);
}

static void free_all(struct up_services *s)
{
    for (size_t i = 0; i < s->count; i++) {
        process_free(s->list[i].process);
        rpc_channel_free(s->list[i].channel);
    }
    s->count = 0;
}

bool up_services_start(struct up_services *services, const struct up_options *options,
                       const struct up_ground *ground, error *err)
{
    *services = (struct up_services){.options = options, .ground = ground};
    bool good = true;
    for (enum up_service service = UP_CASE; service < UP_SERVICES; service++) {
        for (unsigned replica = 0; good && replica < options->replicas; replica++)
            good = add_instance(services, service, replica, err);
        write_target(services, service);
    }
    for (size_t i = 0; good && i < services->count; i++)
        good = start_instance(services, &services->list[i], err);
    if (!good)
        free_all(services);
    return good;
}

static void say_how_it_ended(const struct up_instance *i, int status)
{
    if (WIFSIGNALED(status))
        fprintf(stderr, "casework up: %s-%u was ended by signal %d, starting it again\n", names[i->service],
                i->replica + 1, WTERMSIG(status));
    else
        fprintf(stderr, "casework up: %s-%u ended with status %d, starting it again\n", names[i->service],
                i->replica + 1, WEXITSTATUS(status));
}

/* Notes a death. False when it was one too many. */
static bool note_death(struct up_instance *i, error *err)
{
    int status = 0;
    int64_t now = clock_monotonic_us();
    process_wait(i->process, now, &status);
    process_free(i->process);
    i->process = NULL;
    if (now - i->started_at_us > SETTLED_AFTER) {
        i->deaths = 0;
        i->restart_delay_us = RESTART_DELAY_LEAST;
    }
    i->deaths++;
    if (!i->ever_healthy && i->deaths >= EARLY_DEATHS_MAX) {
        char tail[200];
        process_log_tail(i->log, tail, sizeof tail);
        error_set(err, STATUS_UNAVAILABLE, "SERVICE_DIES", "%s does not start, see %s", names[i->service],
                  i->log);
        error_add_detail(err, "%s", tail);
        return false;
    }
    say_how_it_ended(i, status);
    i->restart_at_us = i->deaths == 1 ? now : now + i->restart_delay_us;
    if (i->deaths > 1)
        i->restart_delay_us =
            i->restart_delay_us * 2 < RESTART_DELAY_MOST ? i->restart_delay_us * 2 : RESTART_DELAY_MOST;
    return true;
}

static bool is_serving(const struct up_instance *i)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = ASK_TIMEOUT, .no_retry = true};
    ProtobufCMessage *response;
    error err;
    /* A channel that was refused once waits before it dials again: better not to ask too early. */
    if (!port_answers(i->port))
        return false;
    arena *memory = arena_new(64 * 1024);
    bool serving = memory &&
                   rpc_client_call(i->channel, &grpc__health__v1__health__descriptor, "Check", &request.base,
                                   &options, memory, &response, &err) &&
                   ((Grpc__Health__V1__HealthCheckResponse *)response)->status ==
                       GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    arena_free(memory);
    return serving;
}

static bool keep_instance(struct up_services *s, struct up_instance *i, bool *changed, error *err)
{
    if (i->process && !process_running(i->process) && !note_death(i, err))
        return false;
    if (!i->process && clock_monotonic_us() >= i->restart_at_us) {
        if (!start_instance(s, i, err))
            return false;
        *changed = true;
    }
    if (i->process && !i->healthy && is_serving(i)) {
        i->healthy = i->ever_healthy = true;
        *changed = true;
    }
    return true;
}

bool up_services_keep(struct up_services *services, bool *ret_changed, error *err)
{
    bool changed = false;
    for (size_t i = 0; i < services->count; i++)
        if (!keep_instance(services, &services->list[i], &changed, err))
            return false;
    *ret_changed = changed;
    return true;
}

bool up_services_healthy(const struct up_services *services)
{
    for (size_t i = 0; i < services->count; i++)
        if (!services->list[i].process || !services->list[i].healthy)
            return false;
    return true;
}

static bool await_end(struct up_instance *i, int64_t deadline_us)
{
    int status = 0;
    if (!i->process)
        return true;
    if (!process_wait(i->process, deadline_us, &status)) {
        fprintf(stderr, "casework up: %s-%u did not stop in time\n", names[i->service], i->replica + 1);
        return false;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    fprintf(stderr, "casework up: %s-%u ended badly, see %s\n", names[i->service], i->replica + 1, i->log);
    return false;
}

static bool stop_some(struct up_services *s, bool cases)
{
    bool good = true;
    int64_t deadline = clock_monotonic_us() + STOP_GRACE;
    for (size_t i = 0; i < s->count; i++)
        if ((s->list[i].service == UP_CASE) == cases && s->list[i].process)
            process_signal(s->list[i].process, SIGTERM);
    for (size_t i = 0; i < s->count; i++)
        if ((s->list[i].service == UP_CASE) == cases)
            good &= await_end(&s->list[i], deadline);
    return good;
}

bool up_services_stop(struct up_services *services)
{
    bool consumers = stop_some(services, false);
    bool cases = stop_some(services, true);
    free_all(services);
    return consumers && cases;
}
