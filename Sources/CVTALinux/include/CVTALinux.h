int vta_placeholder(void);
