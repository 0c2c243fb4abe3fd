"""Identification from whole recordings, when the robot is not waited for.

From logged signals to a verdict::

    RawRecording -> clean -> Recording -> split -> least_squares -> output_error / CMA-ES
                 -> scores on what was held out -> FitResult -> JSON, report

Least squares start; rollouts of the embedded simulator refine. Needs the extra ``[sim]`` for all
but least squares.
"""
