#ifndef CASEWORK_SLA_HANDLERS_H
#define CASEWORK_SLA_HANDLERS_H

/* casework.sla.v1.SlaService: wire ↔ domain. Methods without a row answer UNIMPLEMENTED. */

#include "rpc/job.h"
#include "rpc/server.h"
#include "sla/sla_feed.h"
#include "sla/sla_healer.h"
#include "sla/sla_parts.h"
#include "sla/sla_watch.h"

/* The handlers' context; main owns what it points to. */
struct sla_service {
    struct sla_parts parts;
    sla_healer *healer;
    sla_feed *feed;
    rpc_server *server;
    sla_watches *watches;
    struct rpc_jobs audits; /* rebuilds and checks that are running */
};

enum { SLA_AUDITS_MAX = 2 };

/*
 * May the caller change what holds for the account? A service that acts for an agent has that agent's rights,
 * and only admins change policies and timers. "" for all accounts, which no agent may.
 */
bool sla_check_acting_agent(const struct sla_service *service, const rpc_call *call, const char *account,
                            int64_t deadline_us, error *err) __attribute__((warn_unused_result));

extern const struct rpc_method sla_policy_methods[];   /* GetPolicy, UpdatePolicy, PreviewPolicy */
extern const struct rpc_method sla_deadline_methods[]; /* PreviewDeadline */
extern const struct rpc_method sla_timer_methods[];    /* ListCaseTimers, ListTimers */
extern const struct rpc_method sla_audit_methods[];    /* RebuildTimers, CheckTimers */

#endif
