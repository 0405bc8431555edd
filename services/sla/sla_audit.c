#include "sla/sla_audit.h"

#include "base/clock.h"

#define HEAL_WAIT_US (60 * CLOCK_SECOND)

bool sla_audit_goes_on(const struct sla_audit *audit, error *err)
{
    return !audit->is_over(audit->context) ||
           error_set(err, STATUS_CANCELLED, "CANCELLED", "the client is gone");
}

struct timer_policy_version sla_audit_policy(const struct sla_audit *audit, const char *account)
{
    return (struct timer_policy_version){
        .account = account,
        .version = sla_policies_get(audit->parts->policies, account).version,
    };
}

/* Lost buckets first: what is then left of differences is worth being told. */
static bool prepare(const struct sla_audit *audit, error *err)
{
    return sla_healer_run(audit->healer, clock_monotonic_us() + HEAL_WAIT_US, err);
}

static bool is_meant(const struct sla_audit *audit, int partition)
{
    return !*audit->account || feed_partition(audit->account) == partition;
}

bool sla_audit_check(struct sla_audit *audit, error *err)
{
    bool ok = prepare(audit, err);
    for (int p = 0; ok && p < FEED_PARTITIONS; p++)
        if (is_meant(audit, p))
            ok = sla_audit_compare(audit, p, false, err);
    return ok;
}

bool sla_audit_rebuild(struct sla_audit *audit, error *err)
{
    bool ok = prepare(audit, err);
    for (int p = 0; ok && p < FEED_PARTITIONS; p++)
        if (is_meant(audit, p))
            ok = sla_audit_arm(audit, p, err) && sla_audit_compare(audit, p, true, err);
    return ok;
}
