"""numpy arrays <-> ROS messages, for rclpy and bags alike."""
