"""`mender`: artifacts for Mender, and the update module that installs them on a device."""
