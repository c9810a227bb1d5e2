"""The doors through which the load reaches the disks, and through which they are read afterwards."""

import iscsi_client
import nbd_client

TARGET = "oracle"


class NbdDoor:
    """Every disk is an export."""

    def __init__(self, appliance):
        self._path = appliance.nbd_socket

    def open(self, volumes):
        """Nothing is to be done for the volumes."""

    def serve(self, view):
        """Nothing is to be done for the view that is loaded."""

    def session(self, disk):
        """A session on a disk."""
        return nbd_client.Session(self._path, disk)

    def content(self, disk):
        """The whole content of a disk."""
        return nbd_client.read_export(self._path, disk)


class IscsiDoor:
    """One target whose LUNs are the volumes and the view that is loaded; LUN maps are kept over restarts.

    What is no LUN (the other views) is read over NBD.
    """

    def __init__(self, appliance):
        self._appliance = appliance
        self._luns = {}
        self._name, self._view_lun = None, None

    def open(self, volumes):
        """Makes the target, which lets everybody in."""
        run = self._appliance.run
        run("target", "create", TARGET)
        run("initiator", "allow", TARGET, "any")
        self._name = f"iqn.2026-11.dev.tidemark:{TARGET}"
        for lun, volume in enumerate(volumes):
            self._map(volume, lun)
        self._view_lun = len(volumes)

    def serve(self, view):
        """Maps the view that is loaded next, and no other."""
        for mapped in [disk for disk, lun in self._luns.items() if lun == self._view_lun and disk != view]:
            self._appliance.run("lun", "unmap", TARGET, str(self._luns.pop(mapped)))
        if view and view not in self._luns:
            self._map(view, self._view_lun)

    def session(self, disk):
        """A session on a disk."""
        portal = ("127.0.0.1", self._appliance.iscsi_port)
        return iscsi_client.Session(portal, self._name, self._luns[disk]).measure()

    def content(self, disk):
        """The whole content of a disk."""
        if disk not in self._luns:
            return nbd_client.read_export(self._appliance.nbd_socket, disk)
        with self.session(disk) as session:
            return session.read_all()

    def _map(self, disk, lun):
        self._appliance.run("lun", "map", TARGET, disk, "--lun", str(lun))
        self._luns[disk] = lun


DOORS = {"nbd": NbdDoor, "iscsi": IscsiDoor}
