"""What stands between a command and a joint, between a joint and what is measured, and a world
that does not leave a robot alone.

Real drives answer late, softly and not beyond their limit; gears have play, and wear; sensors
are noisy, late, coarse and sometimes silent; somebody pushes, the wind blows. Everything here is
vectorized over (nsim, width) and changes no bit where its parameters are neutral::

    command -> delay -> lag of 1st -> of 2nd order -> servo with dead zone
            -> gain, wear, ripple -> torque-speed curve, saturation -> (shaft) -> joint
    joint -> play -> (shaft) -> offset -> (servo)
          -> sampling, delay, jitter -> scale -> bias, drift -> noise -> saturation
          -> quantization -> dropout

The same models serve training, the simulator node and the relay.
"""

from sim2real_sim.realism.actuators import Actuators
from sim2real_sim.realism.disturbances import Disturbances
from sim2real_sim.realism.friction import Friction
from sim2real_sim.realism.sensors import Sensors

__all__ = ['Actuators', 'Disturbances', 'Friction', 'Sensors']
