/*
 * vireo_vsock.c: sockets between host and guest
 *
 * The kernel's vhost-vsock serves them. Opening it is the daemon's, as the monitor
 * may not; and so is the context id, so that one that is taken fails the start with
 * an error that says so.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>

#include "virerror.h"
#include "virfile.h"
#include "virvsock.h"

#include "vireo_device_props.h"
#include "vireo_validate.h"
#include "vireo_vsock.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

#define VIREO_VSOCK_PATH "/dev/vhost-vsock"

int
vireoVsockOpen(virDomainVsockDef *vsock)
{
    VIR_AUTOCLOSE fd = open(VIREO_VSOCK_PATH, O_RDWR | O_CLOEXEC);
    int ret;

    if (fd < 0) {
        virReportSystemError(errno, _("<vsock> needs '%s', which cannot be opened"),
                             VIREO_VSOCK_PATH);
        return -1;
    }

    if (vsock->auto_cid == VIR_TRISTATE_BOOL_YES) {
        if (virVsockAcquireGuestCid(fd, &vsock->guest_cid) < 0)
            return -1;
    } else if (virVsockSetGuestCid(fd, vsock->guest_cid) < 0) {
        return -1;
    }

    ret = fd;
    fd = -1;
    return ret;
}

virJSONValue *
vireoVsockProps(const virDomainDef *def,
                const virDomainVsockDef *vsock,
                const char *fd)
{
    g_autoptr(virJSONValue) props = vireoDevicePropsVirtio(def, "vhost-vsock-pci",
                                                           &vsock->info, vsock->virtio);

    if (!props ||
        virJSONValueObjectAdd(&props,
                              "p:guest-cid", vsock->guest_cid,
                              "S:vhostfd", fd,
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
