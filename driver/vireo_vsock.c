/*
 * vireo_vsock.c: sockets between host and guest
 *
 * The kernel's vhost-vsock serves them. Opening it is the daemon's, as the monitor
 * may not; and so is the context id, so that one that is taken fails the start with
 * an error that says so. On hosts without it the monitor serves them, over a unix
 * socket in the domain's run-time directory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>
#include <unistd.h>

#include "virerror.h"
#include "virfile.h"
#include "virvsock.h"

#include "vireo_device_props.h"
#include "vireo_validate.h"
#include "vireo_vsock.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

#define VIREO_VSOCK_PATH "/dev/vhost-vsock"
/* Those below are the host's. */
#define VIREO_VSOCK_CID_MIN 3

bool
vireoVsockIsKernels(void)
{
    return access(VIREO_VSOCK_PATH, R_OK | W_OK) == 0;
}

int
vireoVsockOpen(virDomainVsockDef *vsock,
               int *fd)
{
    bool chosen = vsock->auto_cid == VIR_TRISTATE_BOOL_YES;
    VIR_AUTOCLOSE opened = -1;

    *fd = -1;
    if (!vireoVsockIsKernels()) {
        /* Each guest has a socket of its own: there are no others to tell it from. */
        if (chosen)
            vsock->guest_cid = VIREO_VSOCK_CID_MIN;
        return 0;
    }

    if ((opened = open(VIREO_VSOCK_PATH, O_RDWR | O_CLOEXEC)) < 0) {
        virReportSystemError(errno, _("cannot open '%s'"), VIREO_VSOCK_PATH);
        return -1;
    }
    if (chosen) {
        if (virVsockAcquireGuestCid(opened, &vsock->guest_cid) < 0)
            return -1;
    } else if (virVsockSetGuestCid(opened, vsock->guest_cid) < 0) {
        return -1;
    }

    *fd = opened;
    opened = -1;
    return 0;
}

virJSONValue *
vireoVsockProps(const virDomainDef *def,
                const virDomainVsockDef *vsock,
                bool kernels,
                const char *fd,
                const char *dir)
{
    g_autoptr(virJSONValue) props = vireoDevicePropsVirtio(def, kernels ? "vhost-vsock-pci" :
                                                           "virtio-vsock-pci",
                                                           &vsock->info, vsock->virtio);
    g_autofree char *path = kernels ? NULL : g_strdup_printf("%s/vsock.sock", dir);

    if (!props ||
        virJSONValueObjectAdd(&props,
                              "p:guest-cid", vsock->guest_cid,
                              "S:vhostfd", fd,
                              "S:path", path,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

int
vireoVsockValidate(const virDomainVsockDef *vsock)
{
    const vireoValidateRefusal refusals[] = {
        { vsock->model == VIR_DOMAIN_VSOCK_MODEL_VIRTIO_TRANSITIONAL,
          "<vsock model='virtio-transitional'>" },
        { vsock->auto_cid == VIR_TRISTATE_BOOL_NO && vsock->guest_cid == 0,
          "a <vsock> with neither <cid auto='yes'> nor an address" },
        { vsock->guest_cid == UINT_MAX, "the <cid address> that means any" },
    };

    return vireoValidateRefuse(refusals);
}

bool
vireoVsockMatches(const virDomainVsockDef *match,
                  const virDomainVsockDef *vsock)
{
    /* One whose id was to be found here is meant whichever was found. */
    return vsock && virDomainVsockDefEquals(match, vsock) &&
        (match->guest_cid == 0 || match->guest_cid == vsock->guest_cid);
}
