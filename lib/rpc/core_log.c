/* What the gRPC core says goes to our log. */
#include "base/log.h"
#include "rpc/server.h"

#include <grpc/support/log.h>
#include <stdatomic.h>
#include <string.h>

static _Atomic(rpc_listener_lost *) lost_handler;

/* With locks of the core held: nothing here may call it. */
static void write_core_line(gpr_log_func_args *args)
{
    enum log_level level = args->severity == GPR_LOG_SEVERITY_ERROR ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG;
    LOG_AT(level, "grpc core", LOG_TEXT("error.message", args->message),
           LOG_TEXT("code.file.path", args->file), LOG_NUMBER("code.line.number", args->line));
    /* The only sign of it. */
    rpc_listener_lost *lost = atomic_load(&lost_handler);
    if (lost && strncmp(args->message, "Failed accept4", strlen("Failed accept4")) == 0)
        lost();
}

void rpc_watch_core(rpc_listener_lost *lost)
{
    atomic_store(&lost_handler, lost);
    gpr_set_log_function(write_core_line);
}
