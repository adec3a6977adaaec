int vta_placeholder(void){return 0;}
