#ifndef CASEWORK_SLA_HANDLERS_H
#define CASEWORK_SLA_HANDLERS_H

/* casework.sla.v1.SlaService: wire ↔ domain. Methods without a row answer UNIMPLEMENTED. */

#include "rpc/server.h"
#include "sla/sla_feed.h"
#include "sla/sla_healer.h"
#include "sla/sla_parts.h"

/* The handlers' context; main owns what it points to. */
struct sla_service {
    struct sla_parts parts;
    sla_healer *healer;
    sla_feed *feed;
    rpc_server *server;
};

extern const struct rpc_method sla_policy_methods[]; /* GetPolicy, UpdatePolicy */
extern const struct rpc_method sla_timer_methods[];  /* ListCaseTimers, ListTimers */

#endif
