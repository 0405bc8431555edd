#ifndef CASEWORK_RPC_DESCRIPTORS_H
#define CASEWORK_RPC_DESCRIPTORS_H

/* FileDescriptorSets, looked up by file, by symbol and by method. Built once, then read by any thread. */

#include "base/error.h"
#include "google/protobuf/descriptor.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

struct descriptor_set;

struct descriptor_set *descriptor_set_new(void); /* NULL when memory is out */
void descriptor_set_free(struct descriptor_set *set);

/* Adds the files of a packed FileDescriptorSet (borrowed only during the call); files that are there already
 * are skipped. */
bool descriptor_set_add(struct descriptor_set *set, const void *data, size_t size, error *err)
    __attribute__((warn_unused_result));

/* NULL when there is none. The set keeps owning what these return. */
const Google__Protobuf__FileDescriptorProto *descriptor_set_file(const struct descriptor_set *set,
                                                                 const char *name);

/* The file that defines a message, enum, enum value, field, extension, service or method by its full name. */
const Google__Protobuf__FileDescriptorProto *descriptor_set_symbol(const struct descriptor_set *set,
                                                                   const char *name);

/* `service` is the full name. */
const Google__Protobuf__MethodDescriptorProto *descriptor_set_method(const struct descriptor_set *set,
                                                                     const char *service, const char *method);

/* True when a message of this full name is defined. */
bool descriptor_set_is_message(const struct descriptor_set *set, const char *name);

#endif
