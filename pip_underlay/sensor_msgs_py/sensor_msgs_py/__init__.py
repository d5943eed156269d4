"""A stand-in for sensor_msgs_py, part of surgseg_ros, for machines without a ROS installation."""
