#ifndef CASEWORK_REPORT_HANDLERS_H
#define CASEWORK_REPORT_HANDLERS_H

/* ReportService on the wire. */

#include "feed/consumer.h"
#include "feed/suite_clock.h"
#include "report/report_store.h"
#include "rpc/client.h"
#include "rpc/job.h"
#include "rpc/server.h"

/* What the handlers work with; all of it outlives the server. */
struct report_service {
    rpc_server *server;
    rpc_channel *cases;
    report_store *store;
    suite_clock *clock;
    feed_consumer *consumer;
    struct rpc_jobs exports; /* .most = REPORT_LONG_READS */
    int64_t patience_us;     /* with a reader of an export that takes nothing */
};

/* Their context is a struct report_service. */
extern const struct rpc_method report_methods[];

#endif
