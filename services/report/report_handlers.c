/* ReportService, method by method. */

#include "report/report_handlers.h"

#include "casework/report/v1/report_service.pb-c.h"
#include "report/report_methods.h"

#define METHOD(method, function)                                                            \
    {                                                                                       \
        .service = &casework__report__v1__report_service__descriptor, .name = (method),     \
        .run = RPC_RUN_WORKER, .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_SERVICE, \
        .resource = "parent", .unary = (function),                                          \
    }

const struct rpc_method report_methods[] = {
    METHOD("GetCaseActivity", report_method_activity),
    METHOD("GetEngagementSummary", report_method_summary),
    METHOD("ListEngagements", report_method_table),
    METHOD("GetCaseVolume", report_method_volume),
    METHOD("GetClassificationReport", report_method_classes),
    METHOD("ExplainReportCell", report_method_explain),
    METHOD("RenderChart", report_method_chart),
    {.service = &casework__report__v1__report_service__descriptor,
     .name = "ExportEngagements",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
     .resource = "parent",
     .stream = &report_stream_export},
    {.service = NULL},
};
