"""ROS 2 bags without a ROS installation: read, write, convert."""
