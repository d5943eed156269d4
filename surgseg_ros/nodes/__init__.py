"""ROS 2 nodes: wiring only; the single room that imports rclpy."""
