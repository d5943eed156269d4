# surgseg_ros on the official ROS 2 Jazzy image (Ubuntu 24.04).
#
#   docker build -t surgseg_ros .
#   docker run --rm -it --network host --ipc host surgseg_ros
#   docker run --rm -it --network host --ipc host surgseg_ros surgseg doctor
#
# --ipc host: images go through shared memory, of which a container has only 64 MB by itself.
FROM ros:jazzy-ros-base

ENV DEBIAN_FRONTEND=noninteractive
WORKDIR /ws

# Dependencies first, so that an edited module does not install them again.
COPY package.xml pip_underlay/requirements.txt src/surgseg_ros/
RUN apt-get update \
 && rosdep update --rosdistro jazzy \
 && rosdep install --from-paths src -y --ignore-src --rosdistro jazzy \
 && apt-get install -y --no-install-recommends python3-pip libegl1 libgl1-mesa-dri \
 && rm -rf /var/lib/apt/lists/*
# What has no Debian package; numpy and OpenCV stay those of Ubuntu.
RUN grep -E '^(rosbags|mujoco)==' src/surgseg_ros/requirements.txt \
  | xargs pip install --no-cache-dir --break-system-packages

COPY . src/surgseg_ros
RUN . /opt/ros/jazzy/setup.sh && colcon build && rm -rf build log

ENTRYPOINT ["bash", "-c", "source /ws/install/setup.bash && exec \"$@\"", "--"]
STOPSIGNAL SIGINT
CMD ["ros2", "launch", "surgseg_ros", "stereo_pipeline.launch.py"]
