#ifndef CASEWORK_REPORT_METHODS_H
#define CASEWORK_REPORT_METHODS_H

/* The methods of ReportService, for the table of them. The context is a struct report_service. */

#include "rpc/server.h"

void report_method_activity(rpc_call *call, const ProtobufCMessage *request, void *context);
void report_method_chart(rpc_call *call, const ProtobufCMessage *request, void *context);
void report_method_classes(rpc_call *call, const ProtobufCMessage *request, void *context);
void report_method_explain(rpc_call *call, const ProtobufCMessage *request, void *context);
void report_method_summary(rpc_call *call, const ProtobufCMessage *request, void *context);
void report_method_table(rpc_call *call, const ProtobufCMessage *request, void *context);
void report_method_volume(rpc_call *call, const ProtobufCMessage *request, void *context);

extern const struct rpc_stream_handlers report_stream_export;

#endif
