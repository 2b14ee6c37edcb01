# The QMP protocol, linked by the monitor and by the driver (hence position-independent).
