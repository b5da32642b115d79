import { Module } from '@nestjs/common';
import { MerchantsModule } from '../merchants/merchants.module.js';
import { KeyIssuer } from './key-issuer.js';
import { MerchantKeysController } from './merchant-keys.controller.js';
import { PlatformKeyLoader } from './platform-key.loader.js';
import { PlatformKeysController } from './platform-keys.controller.js';

@Module({
  imports: [MerchantsModule],
  controllers: [PlatformKeysController, MerchantKeysController],
  providers: [KeyIssuer, PlatformKeyLoader],
})
export class ApiKeysModule {}
