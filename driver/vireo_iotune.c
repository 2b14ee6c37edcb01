/*
 * vireo_iotune.c: limits on the speed of disks
 *
 * One table has each limit under all its names: libvirt's parameter, the event's
 * field, and the monitor's argument.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"

#include "vireo_iotune.h"
#include "vireo_qmp.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* The largest limit that the monitor takes. */
#define VIREO_IOTUNE_MAX 1000000000000000ULL

/* What is given together or not at all. */
typedef enum {
    VIREO_IOTUNE_SET_BYTES,
    VIREO_IOTUNE_SET_IOPS,
    VIREO_IOTUNE_SET_BYTES_MAX,
    VIREO_IOTUNE_SET_IOPS_MAX,
    VIREO_IOTUNE_SET_SIZE,
    VIREO_IOTUNE_SET_LENGTH,
    VIREO_IOTUNE_SET_LAST,
} vireoIoTuneSetKind;

typedef struct {
    const char *param;
    const char *tunable;
    const char *monitor;
    size_t offset;      /* in virDomainBlockIoTuneInfo */
    vireoIoTuneSetKind set;
} vireoIoTuneField;

#define FIELD(member, MEMBER, monitor, set) \
    { VIR_DOMAIN_BLOCK_IOTUNE_ ## MEMBER, VIR_DOMAIN_TUNABLE_BLKDEV_ ## MEMBER, monitor, \
      offsetof(virDomainBlockIoTuneInfo, member), VIREO_IOTUNE_SET_ ## set }

#define SUBJECTS 6

/* In the order of libvirt's API; limits, bursts and lengths are of the same six subjects. */
static const vireoIoTuneField vireoIoTuneFields[] = {
    FIELD(total_bytes_sec, TOTAL_BYTES_SEC, "bps", BYTES),
    FIELD(read_bytes_sec, READ_BYTES_SEC, "bps_rd", BYTES),
    FIELD(write_bytes_sec, WRITE_BYTES_SEC, "bps_wr", BYTES),
    FIELD(total_iops_sec, TOTAL_IOPS_SEC, "iops", IOPS),
    FIELD(read_iops_sec, READ_IOPS_SEC, "iops_rd", IOPS),
    FIELD(write_iops_sec, WRITE_IOPS_SEC, "iops_wr", IOPS),
    FIELD(total_bytes_sec_max, TOTAL_BYTES_SEC_MAX, "bps_max", BYTES_MAX),
    FIELD(read_bytes_sec_max, READ_BYTES_SEC_MAX, "bps_rd_max", BYTES_MAX),
    FIELD(write_bytes_sec_max, WRITE_BYTES_SEC_MAX, "bps_wr_max", BYTES_MAX),
    FIELD(total_iops_sec_max, TOTAL_IOPS_SEC_MAX, "iops_max", IOPS_MAX),
    FIELD(read_iops_sec_max, READ_IOPS_SEC_MAX, "iops_rd_max", IOPS_MAX),
    FIELD(write_iops_sec_max, WRITE_IOPS_SEC_MAX, "iops_wr_max", IOPS_MAX),
    FIELD(total_bytes_sec_max_length, TOTAL_BYTES_SEC_MAX_LENGTH, "bps_max_length", LENGTH),
    FIELD(read_bytes_sec_max_length, READ_BYTES_SEC_MAX_LENGTH, "bps_rd_max_length", LENGTH),
    FIELD(write_bytes_sec_max_length, WRITE_BYTES_SEC_MAX_LENGTH, "bps_wr_max_length", LENGTH),
    FIELD(total_iops_sec_max_length, TOTAL_IOPS_SEC_MAX_LENGTH, "iops_max_length", LENGTH),
    FIELD(read_iops_sec_max_length, READ_IOPS_SEC_MAX_LENGTH, "iops_rd_max_length", LENGTH),
    FIELD(write_iops_sec_max_length, WRITE_IOPS_SEC_MAX_LENGTH, "iops_wr_max_length", LENGTH),
    FIELD(size_iops_sec, SIZE_IOPS_SEC, "iops_size", SIZE),
};

#undef FIELD

G_STATIC_ASSERT(G_N_ELEMENTS(vireoIoTuneFields) + 1 == VIREO_IOTUNE_PARAMS);

static unsigned long long
vireoIoTuneGet(const virDomainBlockIoTuneInfo *tune,
               size_t field)
{
    return *(const unsigned long long *)((const char *)tune + vireoIoTuneFields[field].offset);
}

static void
vireoIoTunePut(virDomainBlockIoTuneInfo *tune,
               size_t field,
               unsigned long long value)
{
    *(unsigned long long *)((char *)tune + vireoIoTuneFields[field].offset) = value;
}

/* A limit, its burst and the burst's length. */
static int
vireoIoTuneCheckSubject(const virDomainBlockIoTuneInfo *tune,
                        size_t subject)
{
    const char *name = vireoIoTuneFields[subject].param;
    unsigned long long limit = vireoIoTuneGet(tune, subject);
    unsigned long long max = vireoIoTuneGet(tune, subject + SUBJECTS);
    unsigned long long length = vireoIoTuneGet(tune, subject + 2 * SUBJECTS);

    if (limit > VIREO_IOTUNE_MAX || max > VIREO_IOTUNE_MAX ||
        (max && length > VIREO_IOTUNE_MAX / max)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("block I/O throttle limit '%s' must be no more than %llu"),
                       name, VIREO_IOTUNE_MAX);
        return -1;
    }
    if (max && max < limit) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("block I/O limit '%s_max' must not be less than '%s'"), name, name);
        return -1;
    }
    if (max && !limit) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("block I/O limit '%s_max' cannot be set without '%s'"), name, name);
        return -1;
    }
    if (length && !max) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("block I/O limit '%s_max_length' cannot be set without '%s_max'"),
                       name, name);
        return -1;
    }

    return 0;
}

int
vireoIoTuneCheck(const virDomainBlockIoTuneInfo *tune)
{
    size_t i;

    /* Subjects come by three: total, read, write. */
    for (i = 0; i < 2 * SUBJECTS; i += 3) {
        if (vireoIoTuneGet(tune, i) &&
            (vireoIoTuneGet(tune, i + 1) || vireoIoTuneGet(tune, i + 2))) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                           _("block I/O limit '%s' excludes those of reads and of writes"),
                           vireoIoTuneFields[i].param);
            return -1;
        }
    }
    for (i = 0; i < SUBJECTS; i++) {
        if (vireoIoTuneCheckSubject(tune, i) < 0)
            return -1;
    }
    if (tune->size_iops_sec &&
        !tune->total_iops_sec && !tune->read_iops_sec && !tune->write_iops_sec) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("'size_iops_sec' cannot be set without a limit of requests"));
        return -1;
    }
    if (tune->group_name && !virDomainBlockIoTuneInfoHasBasic(tune)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("a group of disks cannot be named without a limit"));
        return -1;
    }

    return 0;
}

static const vireoIoTuneField *
vireoIoTuneFind(const char *param)
{
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(vireoIoTuneFields); i++) {
        if (STREQ(vireoIoTuneFields[i].param, param))
            return &vireoIoTuneFields[i];
    }

    return NULL;
}

int
vireoIoTuneCheckParams(virTypedParameterPtr params,
                       int nparams)
{
    int i;
    int j;

    for (i = 0; i < nparams; i++) {
        int wanted = VIR_TYPED_PARAM_ULLONG;

        if (STREQ(params[i].field, VIR_DOMAIN_BLOCK_IOTUNE_GROUP_NAME)) {
            wanted = VIR_TYPED_PARAM_STRING;
        } else if (!vireoIoTuneFind(params[i].field)) {
            virReportError(VIR_ERR_ARGUMENT_UNSUPPORTED,
                           _("parameter '%s' is not known"), params[i].field);
            return -1;
        }
        if (params[i].type != wanted) {
            virReportError(VIR_ERR_INVALID_ARG,
                           _("parameter '%s' has the wrong type"), params[i].field);
            return -1;
        }
        for (j = 0; j < i; j++) {
            if (STREQ(params[i].field, params[j].field)) {
                virReportError(VIR_ERR_INVALID_ARG,
                               _("parameter '%s' is there twice"), params[i].field);
                return -1;
            }
        }
    }

    return 0;
}

int
vireoIoTuneMerge(const virDomainBlockIoTuneInfo *old,
                 virTypedParameterPtr params,
                 int nparams,
                 virDomainBlockIoTuneInfo *tune)
{
    bool given[VIREO_IOTUNE_SET_LAST] = { false };
    const char *group = old->group_name;
    size_t i;
    int n;

    memset(tune, 0, sizeof(*tune));
    for (n = 0; n < nparams; n++) {
        const vireoIoTuneField *field = vireoIoTuneFind(params[n].field);

        if (field) {
            given[field->set] = true;
            vireoIoTunePut(tune, field - vireoIoTuneFields, params[n].value.ul);
        } else {
            group = params[n].value.s;
        }
    }

    for (i = 0; i < G_N_ELEMENTS(vireoIoTuneFields); i++) {
        const vireoIoTuneField *field = &vireoIoTuneFields[i];
        bool isLength = field->set == VIREO_IOTUNE_SET_LENGTH;

        /* A length stays for as long as its burst does. */
        if (isLength ? !vireoIoTuneGet(tune, i) && vireoIoTuneGet(tune, i - SUBJECTS) :
            !given[field->set])
            vireoIoTunePut(tune, i, vireoIoTuneGet(old, i));
    }
    if (group && *group && virDomainBlockIoTuneInfoHasBasic(tune))
        tune->group_name = g_strdup(group);

    if (vireoIoTuneCheck(tune) == 0)
        return 0;

    g_clear_pointer(&tune->group_name, g_free);
    return -1;
}

void
vireoIoTuneSet(virDomainDef *def,
               virDomainDiskDef *disk,
               const virDomainBlockIoTuneInfo *tune)
{
    size_t i;

    for (i = 0; i < def->ndisks; i++) {
        virDomainBlockIoTuneInfo *has = &def->disks[i]->blkdeviotune;
        virDomainBlockIoTuneInfo copy = { 0 };

        if (def->disks[i] != disk &&
            (!tune->group_name || STRNEQ_NULLABLE(has->group_name, tune->group_name)))
            continue;
        virDomainBlockIoTuneInfoCopy(tune, &copy);
        g_free(has->group_name);
        *has = copy;
    }
}

int
vireoIoTuneFormat(const virDomainBlockIoTuneInfo *tune,
                  virTypedParameterPtr params,
                  int *nparams)
{
    size_t i;

    if (*nparams == 0) {
        *nparams = VIREO_IOTUNE_PARAMS;
        return 0;
    }

    *nparams = MIN(*nparams, VIREO_IOTUNE_PARAMS);
    for (i = 0; i < (size_t)*nparams; i++) {
        bool isGroup = i == G_N_ELEMENTS(vireoIoTuneFields);

        if (isGroup ?
            virTypedParameterAssign(&params[i], VIR_DOMAIN_BLOCK_IOTUNE_GROUP_NAME,
                                    VIR_TYPED_PARAM_STRING, g_strdup(tune->group_name)) < 0 :
            virTypedParameterAssign(&params[i], vireoIoTuneFields[i].param,
                                    VIR_TYPED_PARAM_ULLONG, vireoIoTuneGet(tune, i)) < 0)
            return -1;
    }

    return 0;
}

int
vireoIoTuneTell(virTypedParamList *tuned,
                const virDomainDiskDef *disk,
                const virDomainBlockIoTuneInfo *tune)
{
    size_t i;

    if (virTypedParamListAddString(tuned, disk->dst, VIR_DOMAIN_TUNABLE_BLKDEV_DISK) < 0)
        return -1;
    for (i = 0; i < G_N_ELEMENTS(vireoIoTuneFields); i++) {
        if (virTypedParamListAddULLong(tuned, vireoIoTuneGet(tune, i), "%s",
                                       vireoIoTuneFields[i].tunable) < 0)
            return -1;
    }
    if (tune->group_name &&
        virTypedParamListAddString(tuned, tune->group_name,
                                   VIR_DOMAIN_TUNABLE_BLKDEV_GROUP_NAME) < 0)
        return -1;

    return 0;
}

int
vireoIoTuneApply(virDomainObj *vm,
                 const virDomainDiskDef *disk,
                 const virDomainBlockIoTuneInfo *tune)
{
    g_autoptr(virJSONValue) args = virJSONValueNewObject();
    size_t i;

    if (virJSONValueObjectAppendString(args, "id", disk->info.alias) < 0)
        return -1;
    for (i = 0; i < G_N_ELEMENTS(vireoIoTuneFields); i++) {
        unsigned long long value = vireoIoTuneGet(tune, i);

        /* The limits themselves are always told; 0 takes them away. */
        if ((i < SUBJECTS || value > 0) &&
            virJSONValueObjectAppendNumberUlong(args, vireoIoTuneFields[i].monitor, value) < 0)
            return -1;
    }
    if (tune->group_name && virJSONValueObjectAppendString(args, "group", tune->group_name) < 0)
        return -1;

    return vireoQmpCommand(vm, "block_set_io_throttle", &args, NULL);
}
