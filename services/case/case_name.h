#ifndef CASEWORK_CASE_NAME_H
#define CASEWORK_CASE_NAME_H

/* Resource names as all services take them apart, by the names that this one uses. */

#include "rpc/name.h"

#define case_name_account rpc_name_account
#define case_name_accounts rpc_name_accounts
#define case_name_member rpc_name_member
#define case_name_member_of rpc_name_member_of
#define case_name_case rpc_name_case
#define case_name_message rpc_name_message

#endif
