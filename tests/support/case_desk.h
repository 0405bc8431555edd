#ifndef CASEWORK_TESTS_SUPPORT_CASE_DESK_H
#define CASEWORK_TESTS_SUPPORT_CASE_DESK_H

/*
 * A case service with the account "acme", its agents anna, bob and former (disabled), a channel "desk" of the
 * network "chat" and a channel "mail" (email, help@acme.example): what tests of conversations need. Answers
 * live in the server's memory; what has to succeed and does not ends the test.
 */

#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "tests/support/case_server.h"

#define DESK_CASES (&casework__cases__v1__case_service__descriptor)
#define DESK_CONNECTORS (&casework__cases__v1__connector_service__descriptor)
#define DESK_MESSAGES (&casework__cases__v1__message_service__descriptor)

void desk_start(struct case_server *server);

/* An admin, boss. */
void desk_hire_boss(struct case_server *server);

/* The account and what is in it, for a server that has none of that name. */
void desk_open(struct case_server *server);

/* Protobuf's text fields take no const; nobody writes to them. */
char *desk_text(const char *constant);

/* For an agent; "" for a service. */
void *desk_call(struct case_server *server, const char *agent, const ProtobufCServiceDescriptor *service,
                const char *method, const void *request);
error desk_fail(struct case_server *server, const char *agent, const ProtobufCServiceDescriptor *service,
                const char *method, const void *request);

Casework__Cases__V1__ReceiveMessageResponse *desk_receive(struct case_server *server, const char *channel,
                                                          const char *sender, const char *external_id,
                                                          const char *body);
Casework__Cases__V1__AddMessageRequest *desk_message(struct case_server *server, const char *case_name,
                                                     int kind, const char *body);

/* Adds it; by "" a customer's or other's. */
Casework__Cases__V1__Message *desk_add(struct case_server *server, const char *agent, const char *case_name,
                                       int kind, const char *body);
Casework__Cases__V1__Case *desk_case(struct case_server *server, const char *name);
Casework__Cases__V1__Message *desk_get_message(struct case_server *server, const char *name);

/* OpenCase, ResolveCase, DeleteCase … */
Casework__Cases__V1__Case *desk_step(struct case_server *server, const char *agent, const char *method,
                                     const char *case_name);

Casework__Cases__V1__ForwardMessageRequest *desk_forward_message(struct case_server *server, const char *name,
                                                                 const char *agent, const char *third_party,
                                                                 const char *note);
Casework__Cases__V1__ForwardCaseRequest *desk_forward_case(struct case_server *server, const char *name,
                                                           const char *agent, const char *third_party,
                                                           const char *note);
Casework__Cases__V1__ListMessagesResponse *desk_list(struct case_server *server, const char *case_name,
                                                     int view);

/* The kinds of the case's events, such as " 1 3 2", and the last event of a kind. */
char *desk_history(struct case_server *server, const char *case_name);
Casework__Cases__V1__Event *desk_last_event(struct case_server *server, const char *case_name, int kind);

/* Tells a delivery. */
Casework__Cases__V1__ReportDeliveryRequest *desk_report(struct case_server *server, const char *message,
                                                        int delivery, const char *failure,
                                                        const char *external_id);

#endif
